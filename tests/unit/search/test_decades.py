"""The search by hand: powers of ten, one option after the other, then finer around the best."""

import math

import pytest

from trainers.experiment import Distribution
from trainers.search.decades import Decades, first_values


def of(**options):
    return {path: Distribution.model_validate(values) for path, values in options.items()}


def run(space, score, trials, *, concurrent=1):
    """The options of each trial in order, where `concurrent` of them always run; the first to begin is first to end."""
    search, results = Decades(space), {}
    for number in range(trials):
        running = [other for other, (_, known) in results.items() if known is None]
        if len(running) == concurrent:
            results[running[0]] = (results[running[0]][0], score(results[running[0]][0]))
        options = search.suggest(number, results)
        if options is None:
            break
        results[number] = (options, None)
    return [options for options, _ in results.values()]


def near(**best):
    """A score that is highest at these values, on a logarithmic scale."""
    return lambda options: -sum(abs(math.log10(options[path] / value)) for path, value in best.items())


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        ({"loguniform": (1e-4, 1)}, [1e-2, 1e-3, 1e-1, 1e-4, 1]),
        ({"loguniform": (2e-4, 0.5)}, [1e-2, 1e-3, 1e-1]),
        ({"loguniform": (0.2, 0.5)}, [0.2, 0.5]),
        ({"loguniform": (0.05, 0.5)}, [0.05, 0.5]),
        ({"uniform": (0, 1)}, [0.5, 0.25, 0.75, 0, 1]),
        ({"randint": (1, 3)}, [2, 1, 3]),
        ({"choice": ["x", "y"]}, ["x", "y"]),
    ],
)
def test_the_first_values_are_coarse_and_the_middle_ones_first(distribution, expected):
    assert first_values(Distribution.model_validate(distribution)) == expected


def test_powers_of_ten_come_first_then_half_and_quarter_steps_around_the_best():
    tried = [options["lr"] for options in run(of(lr={"loguniform": (1e-4, 1)}), near(lr=0.02), 8)]
    assert tried[:5] == [1e-2, 1e-3, 1e-1, 1e-4, 1]
    assert tried[5:6] == [0.03162]  # half a decade up from 0.01, and better
    assert tried[6:] == [0.05623, 0.01778]  # half a decade from there has been tried; a quarter


def test_options_are_tried_one_at_a_time_with_the_best_of_the_others():
    space = of(size={"choice": [16, 32, 64]}, lr={"loguniform": (1e-3, 1e-1)})
    tried = run(space, near(lr=0.1, size=64), 5)
    assert [options["lr"] for options in tried[:3]] == [1e-2, 1e-3, 1e-1]
    assert {options["size"] for options in tried[:3]} == {16}
    assert tried[3:] == [{"lr": 0.1, "size": 32}, {"lr": 0.1, "size": 64}]


@pytest.mark.parametrize("concurrent", [1, 2, 4])
def test_it_comes_near_the_best_and_tries_nothing_twice(concurrent):
    space = of(lr={"loguniform": (1e-4, 1)}, decay={"loguniform": (1e-6, 1e-2)})
    score = near(lr=0.3, decay=3e-5)
    tried = run(space, score, 25, concurrent=concurrent)
    assert len({tuple(sorted(options.items())) for options in tried}) == len(tried) == 25
    assert max(map(score, tried)) > -0.15  # a third of a decade from both at most


def test_values_stay_in_their_ranges():
    space = of(lr={"loguniform": (2e-4, 0.5)}, drop={"uniform": (0, 0.9)}, crop={"randint": (0, 7)})
    for options in run(space, lambda options: options["lr"] + options["drop"] + options["crop"], 60):
        assert 2e-4 <= options["lr"] <= 0.5
        assert 0 <= options["drop"] <= 0.9
        assert 0 <= options["crop"] <= 7


def test_it_ends_when_nothing_finer_is_left():
    assert len(run(of(size={"choice": [16, 32, 64]}), near(size=32), 20)) == 3


def test_failed_trials_are_never_the_best():
    space = of(lr={"loguniform": (1e-2, 1)})
    results = {0: ({"lr": 0.1}, 0.5), 1: ({"lr": 0.01}, 0.4), 2: ({"lr": 1.0}, -math.inf)}
    assert Decades(space).suggest(3, results) == {"lr": 0.3162}


def test_it_goes_on_from_results_alone():
    space, score = of(lr={"loguniform": (1e-4, 1)}, decay={"uniform": (0, 1)}), near(lr=0.05)
    whole = run(space, score, 14)
    results = {number: (options, score(options)) for number, options in enumerate(whole[:9])}
    assert Decades(space).suggest(9, results) == whole[9]
