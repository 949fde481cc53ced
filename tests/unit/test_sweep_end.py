"""What the end of a sweep says about training as its best trial did."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainers.experiment import Experiment, Storage
from trainers.runs.folder import RunFolder
from trainers.sweeps.comparison import is_comparison
from trainers.sweeps.end import _again
from trainers.sweeps.tune import SWEEP


@pytest.fixture
def sweep(tmp_path) -> SimpleNamespace:
    return SimpleNamespace(folder=RunFolder("toy-sweep", Storage(), tmp_path, SWEEP))


@pytest.fixture
def best() -> Experiment:
    """With options that the file of the job has otherwise, and one that makes no other weights."""
    return Experiment.model_validate({"name": "toy", "optimizer": {"lr": 0.5}, "tracking": {"uri": "http://m:5000"}})


@pytest.fixture
def job(tmp_path, monkeypatch) -> Path:
    file = tmp_path / "jobs" / "my toy.py"
    file.parent.mkdir()
    monkeypatch.setattr(sys, "argv", [str(file), "tune"])
    monkeypatch.chdir(tmp_path)
    return file


def test_the_best_trial_is_trained_again_with_the_experiment_that_it_left(sweep, job, best):
    assert _again(sweep, best) == f"python '{job}' --config sweeps/toy-sweep/best.yaml"


def test_on_a_cluster_the_best_trial_is_trained_again_by_flags(sweep, monkeypatch, job, best):
    monkeypatch.setenv("RAY_JOB_SUBMISSION_ID", "1")
    monkeypatch.setenv("TRAINERS_SENT_TO", "--on http://h:8265 --token 'my token'")
    job.with_suffix(".yaml").write_text("name: toy\n")
    told = _again(sweep, best)
    assert told == f"python '{job}' train --optimizer.lr 0.5 --on http://h:8265 --token 'my token'"


@pytest.mark.parametrize("beside", [None, "name: [", "misspelt: 1\n"])
def test_on_a_cluster_without_an_experiment_beside_the_job_the_best_ones_place_is_told(
    sweep, monkeypatch, job, best, beside
):
    monkeypatch.setenv("RAY_JOB_SUBMISSION_ID", "1")
    if beside is not None:
        job.with_suffix(".yaml").write_text(beside)
    assert _again(sweep, best) == "with sweeps/toy-sweep/best.yaml as --config"


@pytest.mark.parametrize(
    ("space", "scheduler", "compares"),
    [
        ({"model.name": {"grid": ["linear", "mlp"]}}, "none", True),
        ({"model.name": {"grid": ["linear", "mlp"]}}, "asha", False),
        ({"model.name": {"choice": ["linear", "mlp"]}}, "none", False),
        ({"model.name": {"grid": ["linear", "mlp"]}, "seed": {"grid": [1, 2]}}, "none", False),
    ],
)
def test_a_grid_of_one_option_without_early_stopping_is_a_comparison(space, scheduler, compares):
    searched = Experiment.model_validate({"search": {"space": space, "scheduler": scheduler}})
    assert is_comparison(searched) is compares
