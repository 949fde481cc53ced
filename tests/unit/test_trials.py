"""A sweep's own record, what is said of it, and its table."""

import csv
import math
from types import SimpleNamespace

import pytest

from trainers import config
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.sweeps.end import _write_table
from trainers.sweeps.ready import trial_experiment
from trainers.sweeps.trials import FILE, Trial, Trials, ranked
from trainers.sweeps.words import causes, describe_search, standing, time_left, trial_line

SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1]}, "training.batch_size": {"choice": [32, 64]}}
EXPERIMENT = Experiment.model_validate({"search": {"space": SPACE, "trials": 4}})


def rows(*accuracies: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "validation/accuracy": accuracy,
            "validation/loss": 1 - accuracy,
            "samples_per_second": 1000.0 * epoch,
            "seconds": 2.0,
            "micro_batch": 32,
            "best": float(accuracy > max(accuracies[: epoch - 1], default=-1)),
        }
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]


def trial(number: int, *accuracies: float, state: str = "finished", cause: str = "", lr: float = 0.1) -> Trial:
    options = {"optimizer.lr": lr, "training.batch_size": 64}
    return Trial(number, options, state, cause, rows(*accuracies))


def test_a_record_read_again_is_as_it_was(tmp_path):
    record = Trials(tmp_path)
    first = record.start(0, {"optimizer.lr": 0.1})
    record.start(1, {"optimizer.lr": 0.2})
    first.history = rows(0.5, math.nan)
    record.end(first, "stopped", "")
    record.note_recorded(first)
    record.note_registered(first, {"test": {"accuracy": 0.4}})
    again = Trials(tmp_path)
    assert [repr(one) for one in again] == [repr(one) for one in record]
    assert (again[0].state, again[0].recorded, again[1].state) == ("stopped", True, "interrupted")
    assert again.registered == {0: {"test": {"accuracy": 0.4}}}


def test_a_torn_last_line_never_was_and_the_next_one_is_whole(tmp_path):
    record = Trials(tmp_path)
    record.start(0, {"optimizer.lr": 0.1})
    record.end(record[0], "finished", "")
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:-9])
    again = Trials(tmp_path)
    assert again[0].state == "interrupted"
    again.start(1, {"optimizer.lr": 0.2})
    assert [one.number for one in Trials(tmp_path)] == [0, 1]


def test_a_damaged_record_is_refused_by_line(tmp_path):
    Trials(tmp_path).start(0, {})
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "ended", "trial": 7}\n')
    with pytest.raises(RequestError, match=r"trials\.jsonl is damaged in line 2"):
        Trials(tmp_path)


def test_a_trial_that_begins_again_has_not_ended(tmp_path):
    record = Trials(tmp_path)
    record.start(0, {"optimizer.lr": 0.1}).history = rows(0.5)
    record.end(record[0], "failed", "out of luck")
    again = record.start(0, {"optimizer.lr": 0.1})
    assert (again.ended, again.cause, len(again.history)) == (False, "", 1)


def test_the_best_by_the_searched_metric_comes_first_and_what_has_no_score_not_at_all():
    trials = [
        trial(0, 0.7, 0.6),
        trial(1, 0.9, state="stopped"),
        trial(2, 0.95, state="failed"),
        trial(3, 0.7),
        trial(4, math.nan),
        trial(5, state="stopped"),
        trial(6, 0.99, state="interrupted"),
    ]
    assert [one.number for one in ranked(trials, EXPERIMENT)] == [1, 0, 3]
    by_loss = config.change(EXPERIMENT, {"search.metric": "loss", "search.mode": "max"}, "test")
    assert [one.number for one in ranked(trials, by_loss)] == [0, 3, 1]


def test_a_line_says_what_came_of_a_trial():
    line = trial_line(trial(6, 0.5, 0.9421, state="stopped", lr=0.01234), EXPERIMENT, place="7/20", best=True)
    assert line == (
        "trial 7/20  #6  optimizer.lr 0.01234  training.batch_size 64  accuracy 0.9421  2 epochs, stopped  "
        "micro-batch 32  1,333 samples/s  best"
    )
    failed = trial_line(trial(7, state="failed", cause="no luck"), EXPERIMENT, place="8/20", best=False)
    assert failed == "trial 8/20  #7  optimizer.lr 0.1  training.batch_size 64  failed: no luck"
    short = trial_line(trial(7, state="stopped"), EXPERIMENT, place="8/20", best=False)
    assert short.endswith("training.batch_size 64  0 epochs, stopped")


def test_a_sweep_is_described_in_a_line():
    assert describe_search(EXPERIMENT.search, 20, 2, "accuracy") == (
        "20 trials, 2 at a time, of optimizer.lr, training.batch_size; asha, by validation accuracy"
    )


def test_the_table_shows_what_runs_and_how_far_it_is():
    trials = [trial(0, 0.7), trial(1, 0.6, state="failed"), trial(2, 0.8, state="interrupted")]
    shown = standing(trials, ranked(trials, EXPERIMENT), EXPERIMENT, 4, "3 min")
    assert shown.counts == "2 of 4 trials done, 1 running, 0 stopped, 1 failed; about 3 min left"
    assert shown.best == "best #0  optimizer.lr 0.1  training.batch_size 64  accuracy 0.7000"
    assert shown.running == (("#2", "optimizer.lr 0.1  training.batch_size 64", "2/5", "0.8000"),)


@pytest.mark.parametrize(
    ("elapsed", "ended", "remaining", "minutes", "left"),
    [
        (0, 0, 20, None, ""),
        (60, 2, 4, None, "2 min"),
        (60, 2, 4, 1.5, "30 s"),
        (600, 1, 60, None, "10.0 h"),
        (90, 0, 9, 1, "0 s"),
    ],
)
def test_time_left_is_what_the_rest_would_take_or_the_limit(elapsed, ended, remaining, minutes, left):
    assert time_left(elapsed, ended, remaining, minutes) == left


def test_causes_that_differ_in_numbers_alone_are_one():
    failed = [trial(n, state="failed", cause=f"lower optimizer.lr ({n}.5e+20)") for n in range(3)]
    told = causes([trial(9, state="failed", cause="no disk"), *failed])
    assert told == ["    3 ×  lower optimizer.lr (0.5e+20)", "    1 ×  no disk"]


def test_the_file_has_a_line_for_each_trial_the_best_first(tmp_path):
    trials = [trial(0, 0.5), trial(1, state="failed", cause="bad, very bad"), trial(2, 0.6, 0.5, state="stopped")]
    folder = SimpleNamespace(path=tmp_path)
    sweep = SimpleNamespace(
        experiment=EXPERIMENT, folder=folder, trials=trials, folder_of=lambda trial: SimpleNamespace(run_id=None)
    )
    _write_table(sweep, ranked(trials, EXPERIMENT))
    best, *others = csv.DictReader((tmp_path / "trials.csv").open())
    assert best == {
        "trial": "2",
        "optimizer.lr": "0.1",
        "training.batch_size": "64",
        "score": "0.6",
        "best_epoch": "1",
        "epochs": "2",
        "state": "stopped",
        "global_batch": "64",
        "micro_batch": "32",
        "samples_per_second": "1333.3",
        "seconds": "4.0",
        "run_id": "",
        "cause": "",
    }
    assert [(row["trial"], row["score"], row["cause"]) for row in others] == [
        ("0", "0.5", ""),
        ("1", "", "bad, very bad"),
    ]


def test_a_trial_trains_its_own_options_and_knows_of_no_search():
    one = trial_experiment(EXPERIMENT, {"optimizer.lr": 0.5, "training.batch_size": 32})
    assert (one.optimizer.lr, one.training.batch_size, one.search.space) == (0.5, 32, {})


def test_options_that_do_not_go_together_are_kept_for_the_record():
    one = trial_experiment(EXPERIMENT, {"optimizer.lr": 0.5, "optimizer.lr_low": 0.7})
    assert (one.optimizer.lr, one.optimizer.lr_low) == (0.5, 0.7)
    assert "lr_low: 0.7" in config.dump_yaml(one)
