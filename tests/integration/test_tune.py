"""`tune` on a local Ray: one model out of many runs, nothing lost with the driver, and what a person is told."""

import csv
import json
import re
from pathlib import Path

import pytest
from running import Running, run_here, summary_of

from trainers import config

SPACE = {"optimizer.lr": {"grid": [0.001, 0.01]}, "training.batch_size": {"grid": [32, 64]}}
QUICK = ("--tracking.system-metrics", "false", "--search.scheduler", "none")


def flags(epochs: int, space: dict = SPACE) -> list[object]:
    return ["tune", *QUICK, "--training.epochs", epochs, "--search.space", json.dumps(space)]


def runs_of(folder: Path) -> tuple[object, dict[str, object]]:
    """The sweep's MLflow run, and its children by name."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("spiral").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in runs if run is not parent}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} <= {parent.info.run_id}
    return parent, children


def table_of(folder: Path) -> dict[str, dict[str, str]]:
    """The sweep's table by the trials' numbers."""
    (table,) = folder.glob("runs/sweeps/*/trials.csv")
    return {row["trial"]: row for row in csv.DictReader(table.open())}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of four trials: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    job = Running([*flags(2), "--summary", "summary.json"], folder, "spiral")
    assert job.wait() == 0, job.output
    return folder, job.output, summary_of(folder / "summary.json")


def test_a_sweep_registers_the_best_of_its_trials(swept):
    folder, output, summary = swept
    sweep, table = summary["sweep"], table_of(folder)
    assert (sweep["trials"], sweep["finished"], sweep["stopped"], sweep["failed"]) == (4, 4, 0, 0)
    best = max(table.values(), key=lambda row: float(row["score"]))
    assert sweep["best"] == {
        "optimizer.lr": float(best["optimizer.lr"]),
        "training.batch_size": int(best["training.batch_size"]),
    }
    assert summary["run_id"] == best["run_id"]
    assert summary["model"] == {"name": "spiral", "version": "1", "alias": "champion"}
    assert summary["metrics"]["validation"]["accuracy"] == pytest.approx(float(best["score"]))
    assert summary["metrics"]["test"]["accuracy"] > 0.5
    lines = re.findall(r"^trial (\d)/4  #\d  optimizer\.lr \S+  training\.batch_size \d+  accuracy", output, re.M)
    assert lines == ["1", "2", "3", "4"]
    assert f"sweep       {sweep['name']}: 4 trials, " in output
    assert "\x1b" not in output


def test_every_trial_is_a_child_of_the_sweeps_own_run(swept):
    folder, _, summary = swept
    parent, children = runs_of(folder)
    name = summary["sweep"]["name"]
    assert sorted(children) == [f"{name}-{number:03d}" for number in range(4)]
    assert {run.info.status for run in [parent, *children.values()]} == {"FINISHED"}
    assert {run.data.tags["trial.state"] for run in children.values()} == {"finished"}
    assert parent.data.tags["best.run_id"] == summary["run_id"]
    assert parent.data.metrics["test/accuracy"] == summary["metrics"]["test"]["accuracy"]
    best = next(run for run in children.values() if run.info.run_id == summary["run_id"])
    assert best.data.metrics["test/accuracy"] == summary["metrics"]["test"]["accuracy"]
    artifacts = {path.name for path in (folder / "runs" / "artifacts").glob(f"{parent.info.run_id}/artifacts/*")}
    assert artifacts == {"sweep.yaml", "trials.csv", "trials.png", "best.yaml"}


def test_the_best_is_an_experiment_that_can_be_trained(swept):
    folder, output, summary = swept
    (path,) = re.findall(r"^train +python \S+ --config (\S+)$", output, re.M)
    best = config.load(folder / path, {})
    assert best.search.space == {}
    assert best.optimizer.lr == summary["sweep"]["best"]["optimizer.lr"]
    assert best.training.epochs == 2


def test_a_complete_sweep_that_goes_on_only_does_its_end_again(swept):
    folder, _, summary = swept
    output = run_here(
        "spiral", "tune", "--resume", summary["sweep"]["name"], "--summary", "again.json", cwd=folder
    )  # fmt: skip
    again = summary_of(folder / "again.json")
    assert {key: again[key] for key in ("run_id", "status", "model", "metrics", "sweep")} == {
        key: summary[key] for key in ("run_id", "status", "model", "metrics", "sweep")
    }
    assert "trial 1/4" not in output
    assert len(runs_of(folder)[1]) == 4


def test_a_sweep_goes_on_after_its_driver_was_killed(start, call, hold, tmp_path):
    job = start(*flags(3), job="spiral", **hold.before("-00[23]/checkpoints/epoch-0002").environment)
    name = job.read_until("sweep  ").split()[1].rstrip(":")
    job.read_until("trial 2/4")
    job.kill()
    before = {number: weights_of(tmp_path, name, number) for number in (0, 1)}
    again = call("tune", "--resume", name, job="spiral")
    assert "goes on after 2 trials" in again.output
    assert "trial 2/4" not in again.output
    assert {number: weights_of(tmp_path, name, number) for number in (0, 1)} == before
    assert all(before.values())
    parent, children = runs_of(tmp_path)
    assert len(children) == 4
    assert {run.info.status for run in [parent, *children.values()]} == {"FINISHED"}
    assert {row["epochs"] for row in table_of(tmp_path).values()} == {"3"}
    assert {row["run_id"] for row in table_of(tmp_path).values()} == {run.info.run_id for run in children.values()}


def weights_of(folder: Path, sweep: str, number: int) -> dict[str, int]:
    """The checkpoints of a trial, and when they were written."""
    checkpoints = folder / "runs" / "training" / f"{sweep}-{number:03d}" / "checkpoints"
    return {path.name: path.stat().st_mtime_ns for path in checkpoints.glob("*/weights.safetensors")}


def test_trials_that_all_fail_are_told_by_their_causes(call, tmp_path):
    space = {"optimizer.lr": {"choice": [1e20, 1e25]}}
    job = call(*flags(1, space), "--search.trials", 2, "--optimizer.name", "sgd", job="spiral", code=1)
    assert re.search(r"^    2 ×  the training loss became \w+ in epoch 1: lower optimizer.lr", job.output, re.M)
    assert "error: all 2 trials of spiral-sweep-" in job.output
    parent, children = runs_of(tmp_path)
    assert [run.info.status for run in [parent, *children.values()]] == ["FAILED"] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search.space", "{}"], "search.space: is empty"),
        (["--search.space", '{"optimizer.lrr": {"choice": [1]}}'], "did you mean optimizer.lr?"),
        (["--search.space", '{"training.batch_size": {"choice": [32, 99999]}}'], "99999 is more than the"),
        (["--resume", "nothing"], "--resume: no sweep nothing in "),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_a_trial(arguments, message, tmp_path):
    output = run_here("spiral", "tune", *arguments, cwd=tmp_path, code=2)
    assert message in output
    assert not (tmp_path / "runs" / "sweeps").exists() or list((tmp_path / "runs" / "sweeps").iterdir()) == []


def test_what_would_make_it_another_sweep_is_refused(swept):
    folder, _, summary = swept
    name = summary["sweep"]["name"]
    for change, message in {
        ("--optimizer.lr", "1"): "optimizer.lr: cannot change when a sweep goes on",
        ("--search.scheduler", "asha"): "search.scheduler: cannot change when a sweep goes on",
        ("--search.trials", "2"): "search.trials: 4 have begun already, which cannot become 2",
    }.items():
        assert message in run_here("spiral", "tune", "--resume", name, *change, cwd=folder, code=2)
