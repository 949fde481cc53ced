"""Fixtures that run jobs and stores of MLflow; what they are made of is in running.py and recording.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import kept
from recording import Server
from running import Hold, Running, draw_photos
from tiny import Tiny, draw_all


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos") / "animals")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    return draw_all(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts a job in this test's folder; what still runs at the test's end is ended."""
    running = []

    def start_job(
        *arguments: object, cwd: Path = tmp_path, job: str | Path = "catsdogs", **environment: str
    ) -> Running:
        running.append(Running(arguments, cwd, job, **environment))
        return running[-1]

    yield start_job
    for job in running:
        job.kill()


@pytest.fixture
def call(start) -> Callable[..., Running]:
    """Runs a job to its end; `code` is the exit code that it must have."""

    def call_job(*arguments: object, code: int = 0, **keywords: object) -> Running:
        job = start(*arguments, **keywords)
        assert job.wait() == code, job.output
        return job

    return call_job


@pytest.fixture
def hold(tmp_path_factory) -> Hold:
    """Holds up the jobs that are started with its environment."""
    return Hold(tmp_path_factory.mktemp("hold"))


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    """An MLflow server; a test that kills it starts it again."""
    with kept() as (port,):
        running = Server(tmp_path_factory.mktemp("server"), port)
        try:
            running.start()
            yield running
        finally:
            running.kill()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory) -> str:
    """The URI of a store on SQLite."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(params=["sqlite", "server"])
def uri(request) -> str:
    """The URI of each kind of store."""
    store = request.getfixturevalue(request.param)
    return str(store.uri if request.param == "server" else store)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """What can be registered, without a network in it."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.json").write_text('{"task": "classification", "shape": [3, 64, 64], "classes": ["cat", "dog"]}')
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder
