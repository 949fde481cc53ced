"""Which trials Ray Tune is given, and what it knows of those of earlier starts; without a running Ray."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from trainers.cluster.schedulers import scheduler_of
from trainers.cluster.searcher import Numbers
from trainers.cluster.sweep import Known, Sweep
from trainers.experiment import Experiment
from trainers.search import candidate


@dataclass(frozen=True)
class Trial:
    trial_id: str


def sweep(known=None, *, epochs=9, space=None, **search):
    space = space or {"optimizer.lr": {"loguniform": [1e-4, 1]}}
    options = {"training": {"epochs": epochs}, "search": {"space": space, **search}}
    return Sweep(Experiment.model_validate(options), "s", Path("/nowhere"), "0", known=known or {})


def history(*accuracies):
    best = [value > max(accuracies[:place], default=-1) for place, value in enumerate(accuracies)]
    return [
        {"epoch": place + 1, "validation/accuracy": value, "best": float(best[place])}
        for place, value in enumerate(accuracies)
    ]


def drain(numbers):
    given = []
    while (config := numbers.suggest(str(len(given)))) != Searcher.FINISHED:
        given.append(config)
    return given


def test_trials_are_given_in_order_with_their_own_values():
    options = sweep(trials=3)
    space = options.experiment.search.space
    assert drain(Numbers(options)) == [{"number": n, "options": candidate(space, 0, n)} for n in range(3)]


def test_interrupted_trials_come_first_as_they_were_and_ended_ones_not_at_all():
    known = {
        0: Known({"optimizer.lr": 0.1}, "finished", history(0.5)),
        1: Known({"optimizer.lr": 0.2}, "failed", []),
        2: Known({"optimizer.lr": 0.3}, "stopped", history(0.1)),
        4: Known({"optimizer.lr": 0.4}, "interrupted", history(0.2)),
    }
    given = drain(Numbers(sweep(known, trials=6)))
    assert [config["number"] for config in given] == [4, 3, 5]
    assert given[0]["options"] == {"optimizer.lr": 0.4}
    assert given[1]["options"] == candidate(sweep().experiment.search.space, 0, 3)


def test_a_search_waits_for_results_and_ends_when_there_is_nothing_more_to_try():
    numbers = Numbers(sweep(space={"training.batch_size": {"choice": [8, 16]}}, searcher="decades", trials=5))
    assert numbers.suggest("a")["options"] == {"training.batch_size": 8}
    assert numbers.suggest("b")["options"] == {"training.batch_size": 16}
    assert numbers.suggest("c") is None
    numbers.on_trial_complete("a", {"score": 0.5})
    numbers.on_trial_complete("b", error=True)
    assert numbers.suggest("c") == Searcher.FINISHED


def test_what_earlier_starts_found_guides_the_search():
    known = {
        number: Known({"optimizer.lr": lr}, "finished", history(0.1, accuracy))
        for number, (lr, accuracy) in enumerate({1e-2: 0.5, 1e-3: 0.4, 0.1: 0.9, 1e-4: 0.2, 1.0: 0.3}.items())
    }
    numbers = Numbers(sweep(known, searcher="decades", trials=6))
    assert numbers.suggest("a") == {"number": 5, "options": {"optimizer.lr": 0.3162}}


@pytest.mark.parametrize("scheduler", ["asha", "median"])
def test_a_trial_is_measured_against_those_of_earlier_starts(scheduler):
    good = {n: Known({"optimizer.lr": 0.1}, "finished", history(0.7, 0.8, 0.9)) for n in range(3)}
    trial, poor = Trial("new"), {"score": 0.3, "epoch": 1}
    for known, expected in ((good, TrialScheduler.STOP), ({}, TrialScheduler.CONTINUE)):
        judge = scheduler_of(sweep(known, scheduler=scheduler))
        judge.on_trial_add(None, trial)
        assert judge.on_trial_result(None, trial, poor) == expected


def test_failed_trials_of_earlier_starts_do_not_disturb():
    failed = {0: Known({"optimizer.lr": 0.1}, "failed", [])}
    for scheduler in ("asha", "median", "none"):
        judge, trial = scheduler_of(sweep(failed, scheduler=scheduler)), Trial("new")
        judge.on_trial_add(None, trial)
        result = {"epoch": 1, "score": 0.3, "training_iteration": 1}
        assert judge.on_trial_result(None, trial, result) == TrialScheduler.CONTINUE


def test_a_population_takes_options_near_those_of_a_better_trial_and_in_their_ranges():
    space = {"a": {"loguniform": (1e-4, 1)}, "b": {"choice": [1, None, "x"]}, "c": {"randint": (0, 10)}}
    pbt = scheduler_of(sweep(space=space, scheduler="pbt"))
    better = SimpleNamespace(config={"number": 1, "options": {"a": 0.1234, "b": 1, "c": 10}})
    drawn = [pbt._get_new_config(None, better)[0]["options"] for _ in range(200)]
    assert sum(values["a"] in (0.09872, 0.1481) for values in drawn) > 100
    assert sum(values["b"] in (1, None) for values in drawn) > 100
    assert sum(values["c"] in (9, 10) for values in drawn) > 100
    assert {values["b"] for values in drawn} == {1, None, "x"}
    assert {values["c"] for values in drawn} <= set(range(11))
    at_the_end = SimpleNamespace(config={"number": 1, "options": {"a": 1.0, "b": "x", "c": 0}})
    drawn = [pbt._get_new_config(None, at_the_end)[0]["options"] for _ in range(200)]
    assert all(1e-4 <= values["a"] <= 1 and values["b"] in (1, None, "x") and values["c"] >= 0 for values in drawn)
    assert all(float(f"{values['a']:.4g}") == values["a"] for values in drawn)


def test_a_population_is_given_whole():
    numbers = Numbers(sweep({1: Known({"optimizer.lr": 0.2}, "interrupted", [])}, scheduler="pbt", trials=4))
    assert list(numbers.all()) == [1, 0, 2, 3]
    assert numbers.suggest("a") == Searcher.FINISHED
