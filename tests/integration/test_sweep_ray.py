"""Sweeps on a real local Ray of two cores: trials share processes, fail alone, have workers, go on where they were."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from running import Hold

from trainers.cluster import Resources
from trainers.cluster.runtime import LOCAL_SETTINGS, QUIET_SETTINGS, SETTINGS
from trainers.cluster.sweep import Known, Sweep
from trainers.data import open_pack
from trainers.events import EpochDone, Restored, TrialEnded, TrialStarted, TrialTold
from trainers.experiment import Experiment
from trainers.search import best_row, score_of

ONE = Resources(1, 1, gpu=False)


@pytest.fixture(scope="module")
def holding(tmp_path_factory) -> Hold:
    """Holds up all trials of this module."""
    return Hold(tmp_path_factory.mktemp("hold"))


@pytest.fixture
def hold(holding) -> Iterator[Hold]:
    """The same; at the test's end all go on."""
    yield holding
    holding.release()


@pytest.fixture(scope="module")
def sweep_on_ray(holding):
    """The function, where a Ray of exactly two cores is up."""
    own = {"OMP_NUM_THREADS": "1", **holding.environment}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SETTINGS | QUIET_SETTINGS | LOCAL_SETTINGS | own).items():
            patch.setenv(name, value)
        import ray

        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
        from trainers.cluster.tuning import sweep_on_ray

        yield sweep_on_ray
        ray.shutdown()


def make(folder: Path, *, known=None, epochs=3, batch=64, grid=None, **search) -> Sweep:
    """A sweep over the rates of a small network that learns the spiral."""
    experiment = Experiment.model_validate(
        {
            "data": {"source": "spiral"},
            "model": {"name": "mlp", "hidden": [16]},
            "training": {"epochs": epochs, "batch_size": batch},
            "search": {"space": {"optimizer.lr": {"grid": grid or [0.01, 0.1, 0.3, 0.5]}}, "scheduler": "none"}
            | search,
        }
    )
    key = open_pack(experiment.data, folder).key
    return Sweep(experiment, "sweep", folder, key, known=known or {})


class Heard:
    """What a sweep told; `when_started` is called for each trial, `while_running` at the end of each of its epochs."""

    def __init__(self, events, while_running=lambda told: None, when_started=lambda number: None) -> None:
        self.started, self.ended, self.restored = [], {}, {}
        self.rows: dict[int, dict[int, dict[str, float]]] = {}
        for event in events:
            match event:
                case TrialStarted(number, options):
                    assert number not in self.ended
                    self.started.append((number, options))
                    when_started(number)
                case TrialEnded(number, state, cause):
                    assert number not in self.ended
                    self.ended[number] = (state, cause)
                case TrialTold(number, Restored(epoch)):
                    self.restored.setdefault(number, []).append(epoch)
                case TrialTold(number, EpochDone(row)):
                    assert number not in self.ended
                    self.rows.setdefault(number, {})[int(row["epoch"])] = row
                    while_running(event)

    def losses(self, number: int) -> dict[int, float]:
        """By epoch: the same for the same trial, whatever befell it."""
        return {epoch: row["train/loss"] for epoch, row in self.rows[number].items()}


def trial_processes() -> list[psutil.Process]:
    """Those in which trials run."""
    titles = ("ray::TrialProcess", "ray::ResourceTrainable")  # between two epochs, and in one
    return [process for process in psutil.Process().children(recursive=True) if _title(process).startswith(titles)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_trials_share_two_processes_and_one_that_diverges_fails_alone(sweep_on_ray, hold, tmp_path):
    pids = set()
    hold.before("epoch-0001")

    def wait_for_the_second(number: int) -> None:
        if number == 1:
            while len(trial_processes()) < 2:
                time.sleep(0.1)
            hold.release()

    sweep = make(tmp_path, grid=[0.01, 1e30, 0.3, 0.5])
    heard = Heard(
        sweep_on_ray(sweep, ONE, 2),
        lambda _: pids.update(process.pid for process in trial_processes()),
        wait_for_the_second,
    )
    assert [number for number, _ in sorted(heard.started)] == [0, 1, 2, 3]
    assert dict(heard.started)[2] == {"optimizer.lr": 0.3}
    assert Counter(state for state, _ in heard.ended.values()) == {"finished": 3, "failed": 1}
    assert "the training loss became" in heard.ended[1][1]
    assert [sorted(heard.rows[number]) for number in (0, 2, 3)] == [[1, 2, 3]] * 3
    assert len(pids) == 2
    assert not list((tmp_path / "ray").glob("*"))


def test_what_cannot_be_trained_fails_with_its_cause(sweep_on_ray, tmp_path):
    space = {"optimizer.nesterov": {"grid": [True]}, "optimizer.momentum": {"uniform": [0, 1e-9]}}
    sweep = make(tmp_path, space=space | {"optimizer.name": {"grid": ["adam", "sgd"]}}, trials=2, epochs=1)
    heard = Heard(sweep_on_ray(sweep, ONE, 1))
    assert heard.ended[0] == ("failed", "optimizer.nesterov: needs optimizer.name sgd and optimizer.momentum > 0")
    assert heard.ended[1][0] == "finished"


def test_asha_stops_what_is_worse_and_keeps_the_best(sweep_on_ray, tmp_path):
    sweep = make(tmp_path, grid=[0.3, 1e-4, 2e-4, 3e-4], scheduler="asha", epochs=9)
    heard = Heard(sweep_on_ray(sweep, ONE, 1))
    assert heard.ended[0] == ("finished", "")
    assert [heard.ended[number] for number in (1, 2, 3)] == [("stopped", "")] * 3
    assert [len(heard.rows[number]) for number in range(4)] == [9, 1, 1, 1]


def test_a_resumed_sweep_trains_only_what_is_missing_and_has_the_same_winner(sweep_on_ray, tmp_path):
    whole = Heard(sweep_on_ray(make(tmp_path), ONE, 2))
    trials = tmp_path / "training"
    shutil.rmtree(trials / "sweep-001" / "checkpoints" / "epoch-0003")
    for missing in (2, 3):
        shutil.rmtree(trials / f"sweep-{missing:03d}")
    known = {
        number: Known({"optimizer.lr": lr}, state, [whole.rows[number][epoch] for epoch in epochs])
        for number, lr, state, epochs in ((0, 0.01, "finished", (1, 2, 3)), (1, 0.1, "interrupted", (1,)))
    }
    sweep = make(tmp_path, known=known)
    after = Heard(sweep_on_ray(sweep, ONE, 2))
    assert sorted(after.ended) == [1, 2, 3]
    assert after.restored == {1: [2], 2: [0], 3: [0]}
    assert sorted(after.rows[1]) == [3]
    assert after.losses(1)[3] == whole.losses(1)[3]
    assert [after.losses(number) for number in (2, 3)] == [whole.losses(number) for number in (2, 3)]
    rows = {number: whole.rows[number] | after.rows.get(number, {}) for number in range(4)}
    assert _winner(sweep, rows) == _winner(sweep, whole.rows)


def test_a_sweep_of_which_all_has_ended_starts_nothing(sweep_on_ray, tmp_path):
    known = {number: Known({"optimizer.lr": 0.1}, "stopped", []) for number in range(4)}
    assert list(sweep_on_ray(make(tmp_path, known=known), ONE, 2)) == []


def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(sweep_on_ray, hold, tmp_path):
    hold.before("epoch-0003")

    def kill(told: TrialTold) -> None:
        if told.event.row["epoch"] == 2:
            (process,) = trial_processes()
            process.kill()
            process.wait()
            hold.release()

    heard = Heard(sweep_on_ray(make(tmp_path, grid=[0.01], epochs=4), ONE, 1), kill)
    assert heard.started == [(0, {"optimizer.lr": 0.01})]
    assert heard.ended == {0: ("finished", "")}
    assert heard.restored == {0: [0, 2]}
    assert sorted(heard.rows[0]) == [1, 2, 3, 4]


def test_the_time_limit_stops_what_runs(sweep_on_ray, tmp_path, monkeypatch):
    skipped = []
    later = SimpleNamespace(time=lambda: time.time() + sum(skipped))
    monkeypatch.setattr("ray.tune.stopper.timeout.time", later)  # of Ray Tune's own clock
    sweep = make(tmp_path, grid=[0.01], epochs=100_000, minutes=1000)
    heard = Heard(sweep_on_ray(sweep, ONE, 1), lambda _: skipped.append(60_000))
    assert heard.started == [(0, {"optimizer.lr": 0.01})]
    assert heard.ended == {0: ("stopped", "the time is over (search.minutes 1000.0)")}


def test_trials_of_two_workers_run_where_there_are_two_cores_and_end_when_stopped(sweep_on_ray, tmp_path):
    sweep = make(tmp_path, grid=[0.3, 1e-4], scheduler="asha")
    heard = Heard(sweep_on_ray(sweep, Resources(2, 1, gpu=False), 1))
    assert heard.ended == {0: ("finished", ""), 1: ("stopped", "")}
    assert [len(heard.rows[number]) for number in (0, 1)] == [3, 1]
    # It waited when it was stopped: nothing was trained beyond what was told.
    kept = (tmp_path / "training" / "sweep-001" / "checkpoints").glob("epoch-*")
    assert [path.name for path in kept] == ["epoch-0001"]


def test_population_based_training_gives_all_trials_their_epochs(sweep_on_ray, tmp_path):
    space = {"optimizer.lr": {"loguniform": [1e-5, 0.5]}}
    sweep = make(tmp_path, space=space, scheduler="pbt", trials=4, epochs=4)
    heard = Heard(sweep_on_ray(sweep, ONE, 2))
    assert heard.ended == dict.fromkeys(range(4), ("finished", ""))
    assert {number for number, _ in heard.started} == {0, 1, 2, 3}
    assert [sorted(heard.rows[number]) for number in range(4)] == [[1, 2, 3, 4]] * 4
    assert all(1e-5 <= options["optimizer.lr"] <= 0.5 for _, options in heard.started)
    assert len(heard.started) > 4  # some went on with the weights of others


def _winner(sweep: Sweep, rows: dict[int, dict[int, dict[str, float]]]) -> int:
    """The trial with the best score at its best epoch."""

    def score(number: int) -> float:
        best = best_row([rows[number][epoch] for epoch in sorted(rows[number])])
        return score_of(sweep.experiment, best) if best else float("-inf")

    return max(rows, key=score)
