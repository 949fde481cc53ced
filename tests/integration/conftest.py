"""Fixtures that run jobs; what they are made of is in running.py."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Running, draw_photos


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos") / "animals")


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Running]]:
    """Starts a job in this test's folder; what still runs at the test's end is ended."""
    running = []

    def start_job(*arguments: object, cwd: Path = tmp_path, **environment: str) -> Running:
        running.append(Running(arguments, cwd, **environment))
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
