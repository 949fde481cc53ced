"""When memory really runs out on Ray: no run and no trial is lost, and each trains with the global batch asked for.

`limited/sitecustomize.py` sets the limits, inside the processes that train.
"""

import csv
import json
import os
import re
from pathlib import Path

import pytest
import torch
from running import Running, draw_photos, python_path, run_here, summary_of
from safetensors.torch import load_file

BATCH, SHARE = 128, 64
SMALL = ("--data.image-size", "64", "--scale.cpus-per-worker", "1", "--tracking.system-metrics", "false")
# Without BatchNorm and dropout, whose results depend on how a batch is cut.
EXACT = ("--model.batch-norm", "false", "--model.dropout", "0", "--optimizer.lr", "0.01", "--schedule.name", "constant")
TRAINING = ("--training.batch-size", BATCH, "--training.epochs", "2")
# malloc gives back at once what is freed, and sets no room aside: a limit is one.
LIMITED = {"PYTHONPATH": python_path("limited"), "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(64 * 1024)}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> list[object]:
    """The options of 400 photos, of which 336 are trained on: three steps in an epoch."""
    return ["--data.source", "folder", "--data.path", draw_photos(tmp_path_factory.mktemp("tight") / "photos", 200)]


@pytest.fixture(scope="module")
def unlimited(tmp_path_factory, data) -> dict[str, torch.Tensor]:
    """The last weights of a training in one process with all the memory that it wants."""
    folder = tmp_path_factory.mktemp("unlimited")
    run_here("catsdogs", *data, *SMALL, *EXACT, *TRAINING, "--scale.workers", "0", cwd=folder)
    return last_weights(folder)


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = folder.glob("runs/training/*/checkpoints/epoch-0002/weights.safetensors")
    return load_file(path)


def agree(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(value, second[name], rtol=0, atol=1e-6) for name, value in first.items())


def runs_of(folder: Path) -> dict[str, object]:
    """All MLflow runs by their ids."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return {run.info.run_id: run for run in runs}


def trials_of(folder: Path) -> list[dict[str, str]]:
    """The lines of a sweep's table in the order of the trials' numbers."""
    (table,) = folder.glob("runs/sweeps/*/trials.csv")
    return sorted(csv.DictReader(table.open()), key=lambda row: int(row["trial"]))


def train(start, data, **limit: str) -> Running:
    """Trains on two workers, of which rank 1 has a limit."""
    job = start(
        *data, *SMALL, *EXACT, *TRAINING, "--scale.workers", "2", "--summary", "summary.json",
        **LIMITED, LIMIT_RANK="1", **limit,
    )  # fmt: skip
    assert job.wait() == 0, job.output
    return job


def test_two_workers_take_smaller_parts_when_one_of_them_has_too_little_memory(unlimited, data, start, tmp_path):
    job = train(start, data, LIMIT_MB="60")  # a worker's share takes about 140 MB, a quarter of it 55
    summary, (run,) = summary_of(tmp_path / "summary.json"), runs_of(tmp_path).values()
    size = summary["micro_batch"]
    assert (summary["status"], summary["global_batch"], summary["world_size"]) == ("FINISHED", BATCH, 2)
    assert size < SHARE
    assert re.search(rf"^micro-batch {size} of {SHARE}: CPU memory ran out in epoch 1, step 1$", job.output, re.M)
    assert "a worker was lost" not in job.output
    assert run.data.tags["micro_batch"] == str(size)
    assert run.data.tags["micro_batch.history"].endswith(f"{size} (epoch 1 step 1: CPU memory)")
    assert agree(last_weights(tmp_path), unlimited)


def test_memory_that_runs_out_where_ranks_wait_for_each_other_costs_an_epoch_at_most(unlimited, data, start, tmp_path):
    job = train(start, data, LIMIT_MB="8", LIMIT_AFTER="4")  # the second epoch's first step
    summary, (run,) = summary_of(tmp_path / "summary.json"), runs_of(tmp_path).values()
    assert (summary["run_id"], run.info.status) == (run.info.run_id, "FINISHED")
    assert "a worker was lost; training goes on after epoch 1" in job.output
    assert f"micro-batch {SHARE // 2} of {SHARE}: CPU memory ran out in epoch 2, step 1" in job.output
    assert run.data.tags["restarts"] == "1"
    assert run.data.tags["micro_batch.history"] == f"{SHARE}, {SHARE // 2} (epoch 2 step 1: CPU memory)"
    assert (summary["global_batch"], summary["micro_batch"]) == (BATCH, SHARE // 2)
    assert agree(last_weights(tmp_path), unlimited)


def test_no_trial_is_lost_to_memory_and_a_later_one_knows_what_fits(data, call, tmp_path):
    space = {"optimizer.lr": {"grid": [0.001, 0.01, 0.02]}, "training.batch_size": {"grid": [16, 256]}}
    call(
        *("tune", *data, *SMALL, *EXACT, "--training.epochs", "1", "--search.space", json.dumps(space)),
        *("--search.scheduler", "none", "--search.concurrent", "1", "--summary", "summary.json"),
        **LIMITED,
        LIMIT_MB="100",  # 256 samples take about 500 MB, 16 take 55
    )
    sweep, trials, runs = summary_of(tmp_path / "summary.json")["sweep"], trials_of(tmp_path), runs_of(tmp_path)
    assert (sweep["trials"], sweep["finished"], sweep["failed"]) == (6, 6, 0)
    large, small = ([row for row in trials if row["training.batch_size"] == size] for size in ("256", "16"))
    assert [row["global_batch"] for row in large] == ["256"] * 3
    assert [row["micro_batch"] for row in small] == ["16"] * 3
    (size,) = {int(row["micro_batch"]) for row in large}
    assert 1 < size < 256
    first, *later = (runs[row["run_id"]].data.tags["micro_batch.history"] for row in large)
    assert first.endswith(f"{size} (epoch 1 step 1: CPU memory)")
    assert later == [str(size)] * 2  # nothing ran out: they did not try more


def test_trials_of_two_workers_that_fill_the_machine_run_one_after_the_other(call, tmp_path):
    each = max(1, len(os.sched_getaffinity(0)) // 2)
    job = call(
        *("tune", "--tracking.system-metrics", "false", "--search.scheduler", "none", "--training.epochs", "1"),
        *("--search.space", json.dumps({"optimizer.lr": {"grid": [0.001, 0.003, 0.01, 0.03]}})),
        *("--scale.workers", "2", "--scale.cpus-per-worker", each, "--summary", "summary.json"),
        job="spiral",
    )
    sweep = summary_of(tmp_path / "summary.json")["sweep"]
    assert (sweep["trials"], sweep["finished"]) == (4, 4)
    assert ": 4 trials, 1 at a time, of optimizer.lr" in job.output
    assert re.findall(r"^trial (\d)/4  #(\d)  ", job.output, re.M) == [("1", "0"), ("2", "1"), ("3", "2"), ("4", "3")]
    assert {row["state"] for row in trials_of(tmp_path)} == {"finished"}
