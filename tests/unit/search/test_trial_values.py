"""The values of a trial follow from space, seed and number alone."""

import itertools

import pytest

from trainers.experiment import Distribution, Search
from trainers.search import candidate, count

RATES = {"loguniform": (1e-4, 1)}


def space(**options):
    return {path.replace("__", "."): Distribution.model_validate(values) for path, values in options.items()}


def test_a_trial_has_the_same_values_whoever_asks_and_when():
    searched = space(optimizer__lr=RATES, model__dropout={"uniform": (0, 0.5)}, data__augment__crop={"randint": (0, 4)})
    first = [candidate(searched, 7, number) for number in range(10)]
    assert [candidate(searched, 7, number) for number in reversed(range(10))] == first[::-1]
    assert [candidate(searched, 8, number) for number in range(10)] != first
    assert len({values["optimizer.lr"] for values in first}) == 10


def test_an_option_has_the_same_values_whatever_else_is_searched():
    alone, both = space(optimizer__lr=RATES), space(model__dropout={"uniform": (0, 0.5)}, optimizer__lr=RATES)
    assert candidate(alone, 0, 3)["optimizer.lr"] == candidate(both, 0, 3)["optimizer.lr"]


def test_grids_are_gone_through_in_order_the_last_fastest_then_again():
    searched = space(model__hidden={"grid": [[8], [16]]}, training__batch_size={"grid": [16, 32, 64]})
    values = [tuple(candidate(searched, 0, number).values()) for number in range(12)]
    assert values[:6] == list(itertools.product([[8], [16]], [16, 32, 64]))
    assert values[6:] == values[:6]


def test_values_stay_in_their_ranges_of_which_both_ends_of_randint_are_part():
    searched = space(a=RATES, b={"uniform": (0.12344, 0.12346)}, c={"randint": (1, 3)}, d={"choice": ["x", None]})
    drawn = [candidate(searched, 0, number) for number in range(200)]
    assert all(1e-4 <= values["a"] <= 1 and 0.12344 <= values["b"] <= 0.12346 for values in drawn)
    assert {values["c"] for values in drawn} == {1, 2, 3}
    assert {values["d"] for values in drawn} == {"x", None}
    assert all(type(value) in (float, int, str, type(None)) for values in drawn for value in values.values())


def test_floats_are_short_enough_to_read():
    drawn = [candidate(space(a=RATES), 0, number)["a"] for number in range(50)]
    assert all(float(f"{value:.4g}") == value for value in drawn)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"space": {"a": RATES}}, 20),
        ({"space": {"a": RATES}, "trials": 5}, 5),
        ({"space": {"a": {"grid": [1, 2]}, "b": {"grid": [1, 2, 3]}}}, 6),
        ({"space": {"a": {"grid": [1, 2]}, "b": RATES}}, 20),
        ({"space": {"a": {"grid": [1, 2]}}, "trials": 3}, 3),
    ],
)
def test_a_sweep_has_as_many_trials_as_asked_for_or_as_its_grids_have_combinations(options, expected):
    assert count(Search.model_validate(options)) == expected
