"""What the driver makes of a sweep's news, and of a micro-batch that shrinks, with a recorder that only listens."""

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from trainers.display import Silent
from trainers.errors import RequestError
from trainers.events import EpochDone, FirstStep, MicroBatch, Restored, TrialEnded, TrialStarted, TrialTold, Warned
from trainers.experiment import Experiment
from trainers.runs import record
from trainers.runs.folder import RunFolder
from trainers.runs.run import Run
from trainers.summary import Summary
from trainers.sweeps.sweep import SweepRun
from trainers.sweeps.trials import Trials
from trainers.sweeps.tune import SWEEP
from trainers.tracking import run_id_of

SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1]}}


class Listener:
    """In the place of a Recorder: keeps what it is told."""

    away: ClassVar[bool] = False
    known: ClassVar[dict[str, "Listener"]] = {}

    def __init__(self, name: str, folder: Path) -> None:
        self.run_id, self.folder = f"id-of-{name}", folder
        self.params: dict[str, object] = {}
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, list[int]] = {}
        self.statuses: list[str] = []

    @classmethod
    def start(cls, uri: str, experiment: str, folder_for: Any, run_name: str, params: Any, tags: Any, **_: Any):
        if cls.away:
            raise RequestError("tracking: nobody answers")
        one = cls.known[run_name] = cls(run_name, folder_for(""))
        one.folder.mkdir(parents=True, exist_ok=True)
        noted = {"kind": "run", "time": 0, "run_id": one.run_id, "uri": uri}
        (one.folder / "journal.jsonl").write_text(json.dumps(noted) + "\n")
        one.params, one.tags = dict(params), dict(tags)
        return one

    @classmethod
    def resume(cls, run_id: str, uri: str, folder_for: Any, **_: Any):
        return cls.known[run_id.removeprefix("id-of-")]

    def tag(self, tags: dict[str, str]) -> None:
        self.tags |= tags

    def log(self, metrics: dict[str, float], step: int) -> None:
        for name in metrics:
            self.metrics.setdefault(name, []).append(step)

    def artifact(self, *_: object) -> None:
        pass

    def finish(self, status: str, wait_s: float) -> bool:
        self.statuses.append(status)
        return True


class Heard(Silent):
    """A display that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.chatty = True
        self.lines: list[str] = []

    def result(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.lines.append(f"warning: {text}")


class NothingReady:
    """In the place of `Ready`: there is no data."""

    def data(self, experiment: Experiment) -> Any:
        raise RequestError("data: none")

    size = data


@pytest.fixture(autouse=True)
def _listening(monkeypatch):
    monkeypatch.setattr(record, "Recorder", Listener)
    monkeypatch.setattr("trainers.sweeps.sweep.preload_end", lambda: None)
    monkeypatch.setattr(Listener, "away", False)
    monkeypatch.setattr(Listener, "known", {})


def experiment(**search: Any) -> Experiment:
    return Experiment.model_validate({"name": "toy", "search": {"space": SPACE, "trials": 3, **search}})


def sweep_in(storage: Path) -> SweepRun:
    folder = RunFolder("toy-sweep", experiment().storage, storage, SWEEP)
    folder.path.mkdir(parents=True, exist_ok=True)
    trials, parent = Trials(folder.path), Listener("parent", folder.path)
    return SweepRun(folder, experiment(), Heard(), 3, 1, NothingReady(), trials, parent)


def row(epoch: int, accuracy: float = 0.5) -> dict[str, float]:
    numbers = {"epoch": epoch, "validation/accuracy": accuracy, "lr": 0.1, "best": 1.0}
    return numbers | {"samples_per_second": 100.0, "seconds": 1.0}


def train(sweep: SweepRun, number: int, *, epochs: int = 2, state: str | None = "finished", cause: str = "") -> None:
    sweep.hear(TrialStarted(number, {"optimizer.lr": 0.1 * (number + 1)}))
    sweep.hear(TrialTold(number, Restored(0)))
    sweep.hear(TrialTold(number, FirstStep(1.0)))
    for epoch in range(1, epochs + 1):
        sweep.hear(TrialTold(number, EpochDone(row(epoch, 0.1 * epoch + number), "")))
    if state:
        sweep.hear(TrialEnded(number, state, cause))


def test_each_trial_has_a_run_of_its_own_below_the_parent(tmp_path):
    sweep = sweep_in(tmp_path)
    train(sweep, 0)
    train(sweep, 1, epochs=1, state="stopped")
    train(sweep, 2, epochs=0, state="failed", cause="no luck")
    sweep.record_rest()
    runs = [Listener.known[f"toy-sweep-{number:03d}"] for number in range(3)]
    assert [run.tags["mlflow.parentRunId"] for run in runs] == ["id-of-parent"] * 3
    assert [run.tags["trial.state"] for run in runs] == ["finished", "stopped", "failed"]
    assert [run.statuses for run in runs] == [["FINISHED"], ["FINISHED"], ["FAILED"]]
    assert [run.metrics.get("validation/accuracy") for run in runs] == [[1, 2], [1], None]
    assert runs[1].params["optimizer.lr"] == 0.2
    assert runs[2].tags["trial.cause"] == "no luck"
    assert [line.split("  ")[0] for line in sweep.display.lines] == ["trial 1/3", "trial 2/3", "trial 3/3"]
    assert [line.endswith("best") for line in sweep.display.lines] == [True, True, False]
    assert [trial.recorded for trial in Trials(sweep.folder.path)] == [True, True, True]


def test_a_trial_that_began_while_mlflow_was_away_is_recorded_at_the_end(tmp_path, monkeypatch):
    sweep = sweep_in(tmp_path)
    monkeypatch.setattr(Listener, "away", True)
    train(sweep, 0)
    train(sweep, 1)
    assert [line for line in sweep.display.lines if "nobody answers; the sweep goes on" in line] != []
    sweep._await_closing()
    assert Listener.known == {}
    monkeypatch.setattr(Listener, "away", False)
    sweep.record_rest()
    runs = [Listener.known[f"toy-sweep-{number:03d}"] for number in range(2)]
    assert [run.metrics["validation/accuracy"] for run in runs] == [[1, 2], [1, 2]]
    assert [run.statuses for run in runs] == [["FINISHED"], ["FINISHED"]]
    assert all(trial.recorded for trial in Trials(sweep.folder.path))


def test_what_was_interrupted_is_killed_and_goes_on_in_the_same_run(tmp_path):
    sweep = sweep_in(tmp_path)
    train(sweep, 0)
    train(sweep, 1, epochs=1, state=None)
    sweep.abort("KILLED")
    assert Listener.known["toy-sweep-001"].statuses == ["KILLED"]
    assert Listener.known["toy-sweep-000"].statuses == ["FINISHED"]
    assert sweep.parent.statuses == ["KILLED"]

    again = sweep_in(tmp_path)
    assert [trial.state for trial in again.trials] == ["finished", "interrupted"]
    again.hear(TrialStarted(1, {"optimizer.lr": 0.2}))
    again.hear(TrialTold(1, Restored(1, [row(1)])))
    again.hear(TrialTold(1, EpochDone(row(2), "")))
    again.hear(TrialEnded(1, "finished"))
    again.record_rest()
    assert len(Listener.known) == 2
    assert Listener.known["toy-sweep-001"].metrics["validation/accuracy"] == [1, 2]
    assert Listener.known["toy-sweep-001"].statuses == ["KILLED", "FINISHED"]
    assert [len(trial.history) for trial in again.trials] == [2, 2]
    assert run_id_of(tmp_path / "training" / "toy-sweep-001") == "id-of-toy-sweep-001"


def test_options_that_change_in_a_trial_are_told_and_its_run_stays(tmp_path):
    sweep = sweep_in(tmp_path)
    train(sweep, 0, epochs=1, state=None)
    sweep.hear(TrialStarted(0, {"optimizer.lr": 0.12}))
    sweep.hear(TrialTold(0, Restored(1, [row(1)])))
    sweep.hear(TrialTold(0, EpochDone(row(2), "")))
    sweep.hear(TrialEnded(0, "finished"))
    sweep.record_rest()
    tags = Listener.known["toy-sweep-000"].tags
    assert tags["after_epoch_1.optimizer.lr"] == "0.12"
    assert "restarts" not in tags
    assert sweep.trials[0].options == {"optimizer.lr": 0.12}


@pytest.fixture
def one(tmp_path) -> Run:
    run = Run(RunFolder("toy", experiment().storage, tmp_path), experiment(), Heard(), Summary())
    run.keep_experiment()
    return run


def test_a_micro_batch_that_fits_is_recorded_and_not_spoken_of(one):
    one.hear(MicroBatch(64, 64, 1, 1, normalised=64))
    one.hear(FirstStep(1.0))
    assert one.record.recorder.tags["micro_batch"] == "64"
    assert one.record.recorder.tags["batchnorm.samples"] == "64"
    assert (one.summary.micro_batch, one.display.lines) == (64, [])


def test_what_went_wrong_on_a_worker_is_told(one):
    one.hear(Warned("the upload failed"))
    assert one.display.lines == ["warning: the upload failed"]


def test_a_micro_batch_that_shrinks_is_told_with_its_cause(one):
    one.hear(MicroBatch(64, 64, 1, 1))
    one.hear(FirstStep(1.0))
    one.hear(MicroBatch(32, 64, 2, 3, "CPU memory"))
    assert one.display.lines == ["micro-batch 32 of 64: CPU memory ran out in epoch 2, step 3"]
    assert one.record.recorder.tags["micro_batch"] == "32"
    assert one.record.recorder.tags["micro_batch.history"] == "64, 32 (epoch 2 step 3: CPU memory)"
    assert "batchnorm.samples" not in one.record.recorder.tags
    assert one.summary.micro_batch == 32


def test_a_micro_batch_that_is_small_from_the_start_says_so_and_warns_of_batchnorm_once(one):
    one.hear(MicroBatch(16, 64, 1, 1, normalised=32))
    one.hear(MicroBatch(8, 64, 1, 2, "GPU memory", normalised=16))
    told, warned, shrunk = one.display.lines
    assert told == "micro-batch 16 of 64: more does not fit"
    assert warned.startswith("warning: BatchNorm normalises over 32 samples, not 128,")
    assert shrunk == "micro-batch 8 of 64: GPU memory ran out in epoch 1, step 2"


@pytest.mark.parametrize(("asked", "size"), [(16, 16), (48, 32)])
def test_a_micro_batch_that_was_asked_for_is_not_spoken_of(tmp_path, asked, size):
    options = Experiment.model_validate({"training": {"micro_batch": asked}})
    run = Run(RunFolder("toy", options.storage, tmp_path), options, Heard(), Summary())
    run.hear(MicroBatch(size, 64, 1, 1))
    assert run.display.lines == []
