"""The recorder, its journal and replay, against real stores: no record is lost, and training never waits."""

import contextlib
import logging
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from recording import Server, record, run_of, steps, until

from trainers import tracking
from trainers.errors import RequestError
from trainers.tracking import Recorder
from trainers.tracking.journal import NAME, sent


def test_a_run_is_recorded_whole(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = record(uri, tmp_path, params={"long": "x" * 9000, **{f"p{number}": number for number in range(150)}})
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
    recorder = record(tracking.tracking_uri(f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path), tmp_path / "runs")
    (recorder.folder / "file").touch()
    recorder.artifact(recorder.folder / "file")

    assert recorder.finish("FINISHED")

    assert (tmp_path / "runs" / "artifacts" / recorder.run_id / "artifacts" / "file").is_file()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_two_first_runs_at_once_share_one_new_store(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from trainers.tracking import Recorder\n"
        "from trainers.tracking.client import quiet\n"
        "quiet(); import mlflow\n"
        "folder = Path(sys.argv[2])\n"
        "print('ready', flush=True); input()\n"
        "recorder = Recorder.start(sys.argv[1], 'pets', lambda run_id: folder / run_id, 'a run', {}, {}, False)\n"
        "assert recorder.finish('FINISHED')\n"
    )
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [sys.executable, "-c", script, uri, str(tmp_path)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    both = [subprocess.Popen(command, **pipes, text=True) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
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
    recorder = record(uri, tmp_path)
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
    first = record(uri, tmp_path)
    first.log({"train/loss": 1.0}, 0)
    first.finish("FAILED")
    assert run_of(uri, first.run_id).info.status == "FAILED"

    second = Recorder.resume(first.run_id, uri, lambda run_id: tmp_path / run_id, system_metrics=False)
    until(lambda: run_of(uri, first.run_id).info.status == "RUNNING")
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
    recorder = record(sqlite, tmp_path)

    with pytest.raises(RequestError, match="in use by another process"):
        tracking.replay(recorder.folder)

    assert recorder.finish("FINISHED")


def test_system_metrics_are_recorded_and_stop_at_once(
    sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trainers.tracking.system.SystemMetrics.interval_s", 3600.0)  # after the first
    recorder = record(sqlite, tmp_path, system_metrics=True)
    until(lambda: "system/cpu_utilization_percentage" in (recorder.folder / NAME).read_text())
    assert recorder.finish("FINISHED")
    recorder._system.join()

    assert not caplog.records
    names = run_of(sqlite, recorder.run_id).data.metrics
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= names.keys()


def test_a_server_that_dies_costs_training_nothing_and_loses_nothing(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainers")
    recorder = record(server.uri, tmp_path)
    recorder.log({"train/loss": 1.0}, 0)
    until(lambda: sent(recorder.folder) == (recorder.folder / NAME).stat().st_size)
    server.freeze()
    try:
        # Whoever waited for an answer would wait here for good.
        for step in range(1, 2001):
            recorder.log({"train/loss": 1.0 / step}, step)
        recorder.tag({"end": "reached"})
        server.kill()
        assert not recorder.finish("FINISHED", wait_s=1.0)
        assert f"send the rest with: trainers replay {recorder.folder}" in caplog.text
        recorder._sender.join()  # it may be inside its last request
    finally:
        server.kill()
        server.start()

    assert run_of(server.uri, recorder.run_id).info.status == "RUNNING"
    assert tracking.replay(recorder.folder) == 2002
    assert tracking.replay(recorder.folder) == 0

    assert steps(server.uri, recorder.run_id) == list(range(2001))
    run = run_of(server.uri, recorder.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["end"] == "reached"


def test_a_server_that_comes_back_gets_the_rest_by_itself(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "trainers")
    recorder = record(server.uri, tmp_path)
    server.kill()
    try:
        recorder.log({"train/loss": 1.0}, 0)
        until(lambda: bool(caplog.records))
    finally:
        server.start()
    recorder.log({"train/loss": 0.5}, 1)

    assert recorder.finish("FINISHED", wait_s=500.0)

    assert steps(server.uri, recorder.run_id) == [0, 1]
    assert len(caplog.records) == 1, "told once, not at each try"
    assert "the run goes on" in caplog.text
