"""Tracking against real stores: SQLite, and an MLflow server that goes away and comes back."""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainers import tracking
from trainers.errors import RequestError
from trainers.tracking import Recorder, Version, promote, register

MEASURED = 0.5  # accuracy of any champion that promote has measured


class Server:
    """A real MLflow server on a free port of this machine, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", "artifacts"]
        command = [sys.executable, "-m", "mlflow", "server", *store, "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        until(self._healthy, 90)

    def kill(self) -> None:
        """As a crash would: at once, with all its children."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    try:
        running.start()
        yield running
    finally:
        running.kill()


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


@pytest.fixture(params=["sqlite", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    store = request.getfixturevalue(request.param)
    return str(store.uri if request.param == "server" else store)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.json").write_text('{"classes": ["cat", "dog"]}')
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder


def start(uri: str, folder: Path, **options: Any) -> Recorder:
    arguments = {"params": {"seed": 1}, "tags": {"command": "train"}, "system_metrics": False, **options}
    return Recorder.start(uri, "pets", lambda run_id: folder / run_id, "a run", **arguments)


def run_of(uri: str, run_id: str) -> Any:
    return tracking.connect(uri).get_run(run_id)


def steps(uri: str, run_id: str, metric: str = "train/loss") -> list[int]:
    return [found.step for found in tracking.connect(uri).get_metric_history(run_id, metric)]


def test_a_run_is_recorded_whole(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = start(uri, tmp_path, params={"long": "x" * 9000, **{f"p{number}": number for number in range(150)}})
    (recorder.folder / "curves.png").write_bytes(b"picture")
    begin = 1_700_000_000_000
    for step in range(1200):
        recorder.log({"train/loss": 1 / (step + 1), "validation/accuracy": float("nan")}, step, begin + step)
    recorder.tag({"restarts": 1, "uri": "http://me:secret@there/x"})
    recorder.artifact(recorder.folder / "curves.png", "pictures")

    assert recorder.finish("FINISHED")
    assert not caplog.records

    run = run_of(uri, recorder.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "a run"
    assert len(run.data.params) == 151
    assert len(run.data.params["long"]) == 6000
    assert run.data.tags["command"] == "train"
    assert run.data.tags["uri"] == "http://there/x"
    history = tracking.connect(uri).get_metric_history(recorder.run_id, "train/loss")
    assert [(found.step, found.timestamp) for found in history] == [(n, begin + n) for n in range(1200)]
    assert [found.path for found in tracking.connect(uri).list_artifacts(recorder.run_id, "pictures")] == [
        "pictures/curves.png"
    ]
    assert tracking.replay(recorder.folder) == 0


def test_sqlite_keeps_its_artifacts_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    recorder = start(tracking.tracking_uri(f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path), tmp_path / "runs")
    (recorder.folder / "file").touch()
    recorder.artifact(recorder.folder / "file")

    assert recorder.finish("FINISHED")

    assert (tmp_path / "runs" / "artifacts" / recorder.run_id / "artifacts" / "file").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_two_first_runs_at_once_share_one_new_store(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trainers.tracking import Recorder\n"
        "folder = Path(sys.argv[2])\n"
        "recorder = Recorder.start(sys.argv[1], 'pets', lambda run_id: folder / run_id, 'a run', {}, {}, False)\n"
        "assert recorder.finish('FINISHED')\n"
    )
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", script, uri, str(tmp_path)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, ""), "and MLflow says nothing"

    client = tracking.connect(uri)
    [experiment] = [found for found in client.search_experiments() if found.name == "pets"]
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FINISHED"] * 2


def test_a_database_of_another_mlflow_version_says_how_to_upgrade(sqlite: str, tmp_path: Path) -> None:
    tracking.connect(sqlite)
    copy = tmp_path / "old.db"
    shutil.copyfile(sqlite.removeprefix("sqlite:///"), copy)
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute("UPDATE alembic_version SET version_num = '0123'")
        database.commit()

    with pytest.raises(RequestError, match=f"back it up, then run `mlflow db upgrade sqlite:///{copy}`"):
        tracking.connect(f"sqlite:///{copy}")


def test_one_bad_value_does_not_stop_the_rest(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = start(uri, tmp_path)
    recorder.log({"train/loss": 1.0, "no*name": 1.0}, 0)
    recorder.params({"seed": 2})
    recorder.log({"train/loss": 0.5}, 1)

    with caplog.at_level(logging.WARNING, "trainers"):
        assert recorder.finish("FINISHED")

    assert steps(uri, recorder.run_id) == [0, 1]
    assert run_of(uri, recorder.run_id).data.params["seed"] == "1"
    assert "refused no*name" in caplog.text
    assert "Changing param values is not allowed" in caplog.text


def test_a_resumed_run_is_the_same_run(uri: str, tmp_path: Path) -> None:
    first = start(uri, tmp_path)
    first.log({"train/loss": 1.0}, 0)
    first.finish("FAILED")
    assert run_of(uri, first.run_id).info.status == "FAILED"

    second = Recorder.resume(first.run_id, uri, lambda run_id: tmp_path / run_id, system_metrics=False)
    until(lambda: run_of(uri, first.run_id).info.status == "RUNNING", 30)
    second.log({"train/loss": 0.5}, 1)
    second.finish("FINISHED")

    assert steps(uri, first.run_id) == [0, 1]
    assert run_of(uri, first.run_id).info.status == "FINISHED"
    second.finish("FAILED")
    assert run_of(uri, first.run_id).info.status == "FINISHED", "only the first end counts"


def test_resuming_an_unknown_run_is_told(sqlite: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run 0123456789abcdef at sqlite"):
        Recorder.resume("0123456789abcdef", sqlite, lambda run_id: tmp_path / run_id)


def test_a_run_whose_process_was_killed_gets_its_true_end(sqlite: str, tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from trainers.tracking import Recorder\n"
        "recorder = Recorder.start(sys.argv[1], 'pets', lambda run_id: Path(sys.argv[2]), 'a run', {}, {}, False)\n"
        "for step in range(100): recorder.log({'train/loss': 1.0}, step)\n"
        "print(recorder.run_id, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, sqlite, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run_id = done.stdout.strip()
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"kind": "metrics", "torn')

    assert tracking.replay(tmp_path) > 0

    assert steps(sqlite, run_id) == list(range(100))
    run = run_of(sqlite, run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time <= int(time.time() * 1000)
    assert tracking.replay(tmp_path) == 0


def test_a_run_that_goes_on_cannot_be_replayed(sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.tracking.resend.PATIENCE_S", 0.0)
    recorder = start(sqlite, tmp_path)

    with pytest.raises(RequestError, match="in use by another process"):
        tracking.replay(recorder.folder)

    assert recorder.finish("FINISHED")


def test_system_metrics_are_recorded_and_stop_at_once(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainers.tracking.system.SystemMetrics.interval_s", 0.2)
    recorder = start(sqlite, tmp_path, system_metrics=True)
    until(lambda: "system/cpu_utilization_percentage" in (recorder.folder / "journal.jsonl").read_text(), 30)
    assert recorder.finish("FINISHED")

    assert not caplog.records
    names = run_of(sqlite, recorder.run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= names.keys()


def test_a_server_that_dies_costs_training_nothing_and_loses_nothing(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainers")
    recorder = start(server.uri, tmp_path)
    recorder.log({"train/loss": 1.0}, 0)
    until(lambda: steps(server.uri, recorder.run_id) == [0], 30)
    server.kill()
    try:
        slowest = 0.0
        for step in range(1, 2001):
            before = time.perf_counter()
            recorder.log({"train/loss": 1.0 / step}, step)
            slowest = max(slowest, time.perf_counter() - before)
        # Far from the seconds that a request takes to fail, with room for a busy machine.
        assert slowest < 0.5
        recorder.tag({"end": "reached"})
        assert not recorder.finish("FINISHED", wait_s=1.0)
        assert f"send the rest with: trainers replay {recorder.folder}" in caplog.text
    finally:
        server.start()

    assert run_of(server.uri, recorder.run_id).info.status == "RUNNING"
    # All but, perhaps, the one request of 1,000 records that was being tried again when the server came back.
    assert tracking.replay(recorder.folder) in (2002, 1002)
    assert tracking.replay(recorder.folder) == 0

    assert steps(server.uri, recorder.run_id) == list(range(2001))
    run = run_of(server.uri, recorder.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["end"] == "reached"


def test_a_server_that_comes_back_gets_the_rest_by_itself(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainers")
    recorder = start(server.uri, tmp_path)
    server.kill()
    try:
        recorder.log({"train/loss": 1.0}, 0)
        until(lambda: bool(caplog.records), 60)
    finally:
        server.start()
    recorder.log({"train/loss": 0.5}, 1)

    assert recorder.finish("FINISHED", wait_s=60.0)

    assert steps(server.uri, recorder.run_id) == [0, 1]
    assert len(caplog.records) == 1, "told once, not at each try"
    assert "the run goes on" in caplog.text


def test_a_model_is_registered_found_and_fetched_without_pickle(uri: str, tmp_path: Path, bundle: Path) -> None:
    recorder = start(uri, tmp_path)
    tags = {"test_fingerprint": "f1", "classes": "cat,dog"}
    first = register(uri, recorder.run_id, bundle, "found", {"test_accuracy": 0.75}, tags, "a classifier")
    second = register(uri, recorder.run_id, bundle, "found", {"test_accuracy": 0.5}, tags)
    recorder.finish("FINISHED")
    assert (first, second) == (Version("found", "1"), Version("found", "2"))

    assert tracking.find_version(uri, "found") == second, "without a champion the latest"
    tracking.connect(uri).set_registered_model_alias("found", "champion", "1")
    assert [
        str(tracking.find_version(uri, name)) for name in ("found", "models:/found@champion", "models:/found/2")
    ] == [
        "models:/found/1",
        "models:/found/1",
        "models:/found/2",
    ]
    listed = tracking.versions(uri, "found")
    assert [(found.version, found.aliases, found.accuracy) for found in listed] == [
        ("2", (), 0.5),
        ("1", ("champion",), 0.75),
    ]
    assert listed[0].run_id == recorder.run_id

    fetched = tracking.fetch(uri, "found", tmp_path / "models")
    assert {file.name: file.read_bytes() for file in fetched.iterdir()} == {
        file.name: file.read_bytes() for file in bundle.iterdir()
    }
    assert tracking.fetch(uri, first, tmp_path / "models") == fetched


def test_what_is_not_registered_is_told_with_what_is(sqlite: str, tmp_path: Path, bundle: Path) -> None:
    recorder = start(sqlite, tmp_path)
    register(sqlite, recorder.run_id, bundle, "there", {}, {})
    recorder.finish("FINISHED")

    for reference, words in {
        "nowhere": r"nothing is registered as `nowhere` at sqlite.*\(registered: .*there",
        "models:/there/7": r"no models:/there/7 at sqlite.*\(versions: 1\)",
        "models:/there@best": r"no models:/there@best at sqlite.*\(versions: 1\)",
        "models:/a/b/c": "is not NAME, models:/NAME/VERSION or models:/NAME@ALIAS",
    }.items():
        with pytest.raises(RequestError, match=words):
            tracking.fetch(sqlite, reference, tmp_path)
    assert tracking.versions(sqlite, "nowhere") == []


class Candidates:
    """Registers candidates of one model and offers them for champion."""

    def __init__(self, uri: str, folder: Path, bundle: Path, name: str) -> None:
        self.uri, self.bundle, self.name = uri, bundle, name
        self.recorder = start(uri, folder)
        self.measured: list[str] = []

    def offer(self, accuracy: float, fingerprint: str, champion: float | RequestError = MEASURED) -> bool:
        def measure(folder: Path) -> float:
            self.measured.append((folder / "weights.safetensors").read_text())
            if isinstance(champion, RequestError):
                raise champion
            return champion

        version = register(self.uri, self.recorder.run_id, self.bundle, self.name, {}, {})
        return bool(promote(self.uri, version, accuracy, fingerprint, measure))

    @property
    def champion(self) -> str:
        return tracking.find_version(self.uri, f"models:/{self.name}@champion").version

    def reason(self, version: str) -> str:
        return str(tracking.connect(self.uri).get_model_version(self.name, version).tags["champion_decision"])


@pytest.fixture
def candidates(sqlite: str, tmp_path: Path, bundle: Path, request: pytest.FixtureRequest) -> Iterator[Candidates]:
    made = Candidates(sqlite, tmp_path, bundle, request.node.name[:60])
    yield made
    made.recorder.finish("FINISHED")


def test_only_a_strictly_better_version_becomes_champion(candidates: Candidates) -> None:
    assert [candidates.offer(accuracy, "split") for accuracy in (0.8, 0.7, 0.8, 0.9)] == [True, False, False, True]

    assert candidates.champion == "4"
    assert not candidates.measured, "on the same split the recorded accuracy counts"
    assert "is the first" in candidates.reason("1")
    assert "models:/" in candidates.reason("2")
    assert "stays: 0.7000 against 0.8000" in candidates.reason("2")


def test_a_champion_of_another_test_split_is_measured_on_this_one(candidates: Candidates) -> None:
    assert candidates.offer(0.99, "old split")

    assert not candidates.offer(0.6, "new split", champion=0.7)
    assert candidates.offer(0.8, "new split", champion=0.7)

    assert candidates.measured == ["weights", "weights"]
    assert candidates.champion == "3"


def test_a_champion_that_cannot_be_measured_stays(candidates: Candidates) -> None:
    assert candidates.offer(0.6, "pets")

    assert not candidates.offer(0.9, "digits", champion=RequestError("it tells other classes apart"))

    assert candidates.champion == "1"
    assert "cannot be measured on this test split (it tells other classes apart)" in candidates.reason("2")


def test_two_runs_that_end_at_once_leave_the_better_one_champion(candidates: Candidates) -> None:
    assert candidates.offer(0.6, "old split")
    later = register(candidates.uri, candidates.recorder.run_id, candidates.bundle, candidates.name, {}, {})

    def measure_while_another_wins(_: Path) -> float:
        assert promote(candidates.uri, later, 0.95, "new split", measure=lambda _: 0.5)
        return 0.5

    slower = register(candidates.uri, candidates.recorder.run_id, candidates.bundle, candidates.name, {}, {})
    assert not promote(candidates.uri, slower, 0.9, "new split", measure_while_another_wins)
    assert candidates.champion == later.version


def test_a_registered_model_predicts_in_a_fresh_process_without_pickle_or_a_crash(sqlite: str, tmp_path: Path) -> None:
    from PIL import Image
    from safetensors.torch import save_file

    from trainers.experiment import Experiment
    from trainers.models import build
    from trainers.tasks import describe

    experiment = Experiment()
    module = build(experiment.model, 2, experiment.data.image_size).module
    made = tmp_path / "trained"
    made.mkdir()
    save_file(module.state_dict(), made / "weights.safetensors")
    (made / "model.json").write_text(json.dumps(describe(experiment, ("cat", "dog"))))
    recorder = start(sqlite, tmp_path)
    version = register(sqlite, recorder.run_id, made, "predicts", {}, {})
    recorder.finish("FINISHED")
    place = tracking.connect(sqlite).get_model_version_download_uri(version.name, version.version)
    files = [file.suffix for file in Path(place.removeprefix("file://")).rglob("*") if file.is_file()]
    assert ".safetensors" in files
    assert ".pkl" not in files

    Image.new("RGB", (80, 60), (200, 10, 30)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    script = (
        "import json, sys, warnings; import mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1]); model = mlflow.pyfunc.load_model(sys.argv[2])\n"
        "paths = ['good.png', 'bad.png', 'missing.png']\n"
        "by_path = model.predict(pd.DataFrame({'path': paths}, index=[5, 6, 7]))\n"
        "by_bytes = model.predict(pd.DataFrame({'bytes': [open(name, 'rb').read() for name in paths[:2]]}))\n"
        "assert list(by_path.index) == [5, 6, 7]\n"
        "assert by_path.label.tolist()[1:] == [None, None]\n"
        "print(json.dumps([by_path.to_dict('records'), by_bytes.to_dict('records')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:trainers", "-c", script, sqlite, str(version)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode == 0, done.stderr
    by_path, by_bytes = json.loads(done.stdout)
    assert by_path[0]["label"] in ("cat", "dog")
    assert by_path[0]["error"] is None
    assert by_path[0]["probability"] == max(by_path[0]["probabilities"])
    assert sum(by_path[0]["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert [bool(row["error"]) for row in by_path] == [False, True, True]
    assert by_path[2]["error"] == "No such file or directory"
    assert by_bytes[0] == by_path[0]
    assert by_bytes[1]["error"]
