"""A run's folder: its name, the experiment that is saved in it, and how it is found again."""

import json

import pytest

from trainers import config
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.runs.folder import RunFolder, near
from trainers.runs.resume import changed, refuse_changes
from trainers.sweeps.tune import SWEEP

EXPERIMENT = Experiment.model_validate({"name": "toy", "seed": 7})


def test_two_new_ones_are_two_and_what_they_are_of_stands_in_their_names(tmp_path):
    one, other = (RunFolder.of(EXPERIMENT, tmp_path) for _ in range(2))
    sweep = RunFolder.of(EXPERIMENT, tmp_path, SWEEP)
    assert one.name != other.name
    assert one.path.parent == tmp_path / "training"
    assert (sweep.path.parent, sweep.saved.name) == (tmp_path / "sweeps", "sweep.yaml")
    assert sweep.name.startswith("toy-sweep-")


def test_one_that_goes_on_is_found_by_its_name_or_its_mlflow_id_with_its_own_experiment(tmp_path):
    kept = RunFolder.of(EXPERIMENT, tmp_path)
    kept.keep(EXPERIMENT)
    record = {"kind": "run", "time": 0, "run_id": "abc", "uri": ""}
    (kept.path / "journal.jsonl").write_text(json.dumps(record) + "\n")
    for reference in (kept.name, "abc"):
        found = RunFolder.find(reference, Experiment(), tmp_path)
        assert (found.path, found.run_id) == (kept.path, "abc")
    flags = {"scale": {"workers": 2}}
    assert changed(found, Experiment(), flags) == config.change(EXPERIMENT, {"scale.workers": 2}, "")
    assert [path.name for path in kept.path.iterdir() if path.name.startswith(".")] == []


def test_one_that_is_not_there_is_refused_with_the_last_there_are(tmp_path):
    with pytest.raises(RequestError, match=r"--resume: no run gone in .*/training; there are none"):
        RunFolder.find("gone", EXPERIMENT, tmp_path)
    names = []
    for _ in range(4):
        names.append(RunFolder.of(EXPERIMENT, tmp_path))
        names[-1].keep(EXPERIMENT)
    with pytest.raises(RequestError, match="the last are ") as refused:
        RunFolder.find("gone", EXPERIMENT, tmp_path)
    assert sum(name.name in str(refused.value) for name in names) == 3


def test_only_what_leaves_the_run_the_same_may_change():
    refuse_changes({"scale": {"workers": 2}, "log": {"level": "debug"}}, ("scale.", "log.level"), "run")
    with pytest.raises(RequestError, match=r"log\.level: cannot change when a run goes on"):
        refuse_changes({"scale": {"workers": 2}, "log": {"level": "debug"}}, ("scale.",), "run")


def test_a_path_below_is_told_as_seen_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(near(tmp_path / "runs" / "a.png")) == "runs/a.png"
    assert near(tmp_path.parent / "b") == tmp_path.parent / "b"
    assert RunFolder("toy", EXPERIMENT.storage, tmp_path / "runs").shown("x.csv") == "runs/training/toy/x.csv"
