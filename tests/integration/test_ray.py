"""The main job on Ray: the same losses on two workers, and nothing lost when a worker, the driver or the will dies."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from running import ROOT, SMALL, Running, draw_photos, ray_cluster, summary_of
from safetensors.torch import load_file

SIX = ("--training.epochs", "6", "--training.best", "loss", "--scale.workers", "2")
EXACT = ("--model.batch-norm", "false", "--model.dropout", "0", "--optimizer.lr", "0.01", "--schedule.name", "constant")


def client_of(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")


def losses(folder: Path, run_id: str) -> dict[int, float]:
    history = client_of(folder).get_metric_history(run_id, "train/loss")
    return {metric.step: metric.value for metric in history}


def weights(summary: dict) -> dict[str, torch.Tensor]:
    return load_file(Path(summary["checkpoint"]) / "weights.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return draw_photos(tmp_path_factory.mktemp("photos") / "animals", count=200)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, photos):
    """A run on two workers that nothing befell."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = Running([*arguments(photos), "--summary", "summary.json"], folder)
    assert job.wait() == 0, job.output
    return folder, summary_of(folder / "summary.json"), job.output


def arguments(photos: Path) -> list[object]:
    return ["--data.source", "folder", "--data.path", photos, *SMALL, *EXACT, *SIX]


def training_workers(job) -> list[psutil.Process]:
    return [process for process in job.children() if "RayTrainWorker" in " ".join(process.cmdline())]


def test_two_workers_have_the_losses_of_one_process(undisturbed, photos, call, tmp_path):
    folder, summary, _ = undisturbed
    assert (summary["world_size"], summary["global_batch"], summary["micro_batch"]) == (2, 16, 8)
    # In the same parts, since sums of other parts are rounded otherwise, which a loss that falls steeply magnifies.
    parts = ("--training.micro-batch", summary["micro_batch"])
    call(*arguments(photos), "--scale.workers", "0", *parts, "--summary", "alone.json")
    alone = losses(tmp_path, summary_of(tmp_path / "alone.json")["run_id"])
    assert losses(folder, summary["run_id"]) == pytest.approx(alone, abs=1e-5)
    assert len(alone) == 6


def test_ray_and_mlflow_are_silent_unless_asked(undisturbed):
    _, _, output = undisturbed
    known = re.compile(
        r"^(packing|data|  (train|validation|test) |model|runs on|run |epoch|validation|registered|pictures"
        r"|predict|look"
        r"|  (layer +kind|[\w.]+ +[A-Z]\w+ +\d[\d×]*|total)( |$))"  # the model's layers
    )
    assert [line for line in output.splitlines() if not known.match(line)] == []


def test_a_killed_worker_costs_an_epoch_at_most_and_changes_nothing(undisturbed, photos, start, hold, tmp_path):
    job = start(*arguments(photos), "--summary", "summary.json", **hold.before("epoch-0003").environment)
    job.read_until("epoch 2/6")
    training_workers(job)[0].send_signal(signal.SIGKILL)
    job.read_until("a worker was lost; training goes on after epoch 2")
    hold.release()
    assert job.wait() == 0, job.output
    summary = summary_of(tmp_path / "summary.json")
    run = client_of(tmp_path).get_run(summary["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["restarts"] == "1"
    assert re.findall(r"^epoch (\d)/6", job.output, re.MULTILINE) == ["1", "2", "3", "4", "5", "6"]
    folder, expected, _ = undisturbed
    assert losses(tmp_path, summary["run_id"]) == losses(folder, expected["run_id"])
    assert all(torch.equal(value, weights(expected)[name]) for name, value in weights(summary).items())


def test_a_run_goes_on_after_the_driver_was_lost(undisturbed, photos, start, call, hold, tmp_path):
    job = start(*arguments(photos), **hold.before("epoch-0004").environment)
    name = job.read_until("run  ").split()[1]
    job.read_until("epoch 3/6")
    job.kill()
    again = call("train", "--resume", name, "--summary", "summary.json")
    assert "goes on after epoch 3" in again.output
    assert re.findall(r"^epoch (\d)/6", again.output, re.MULTILINE) == ["4", "5", "6"]
    summary = summary_of(tmp_path / "summary.json")
    run = client_of(tmp_path).get_run(summary["run_id"])
    assert (run.info.run_name, run.info.status) == (name, "FINISHED")
    assert len(client_of(tmp_path).search_runs([run.info.experiment_id])) == 1
    folder, expected, _ = undisturbed
    assert losses(tmp_path, summary["run_id"]) == losses(folder, expected["run_id"])
    assert all(torch.equal(value, weights(expected)[name]) for name, value in weights(summary).items())


def test_ctrl_c_ends_the_run_as_killed_and_leaves_no_process(photos, start, tmp_path):
    job = start(*arguments(photos), "--training.epochs", "100000")
    name = job.read_until("run  ").split()[1]
    job.read_until("epoch      2/100000")
    started = job.children()
    os.killpg(job.process.pid, signal.SIGINT)  # as a terminal does it: to the whole group
    assert job.wait() == 130, job.output
    assert f"train --resume {name}" in job.output
    assert "Traceback" not in job.output
    (run,) = client_of(tmp_path).search_runs(["1"])
    assert run.info.status == "KILLED"
    psutil.wait_procs(started)  # to the last


def test_more_than_the_machine_has_is_refused_with_the_sum(photos, call):
    cores = len(os.sched_getaffinity(0))
    job = call(*arguments(photos), "--scale.cpus-per-worker", cores, code=2)
    assert f"2 workers × {cores} cores are {2 * cores} cores, there are {cores}" in job.output


def test_ray_job_submit_runs_the_same_job(photos, tmp_path):
    with ray_cluster() as (address, _, environment):
        submit = [Path(sys.executable).with_name("ray"), "job", "submit", "--address", address, "--working-dir", ROOT,
                  "--", sys.executable, "jobs/catsdogs.py", *arguments(photos), "--training.epochs", "2",
                  "--storage.path", tmp_path / "runs", "--summary", tmp_path / "summary.json"]  # fmt: skip
        done = subprocess.run(list(map(str, submit)), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "epoch 2/2" in done.stdout
    summary = summary_of(tmp_path / "summary.json")
    assert (summary["status"], summary["world_size"]) == ("FINISHED", 2)
    assert summary["model"]["alias"] == "champion"
