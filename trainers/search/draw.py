"""The values of a trial, drawn from the space by the sweep's seed and the trial's number alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainers import config
from trainers.experiment import Distribution, Experiment, Search

Options = dict[str, Any]

TRIALS = 20  # where nothing says how many


def count(search: Search) -> int:
    """How many trials a sweep has: as many as asked for, else every combination of its grids once, else 20."""
    if search.trials is not None:
        return search.trials
    lengths = [len(distribution.grid) for distribution in search.space.values() if distribution.grid is not None]
    return math.prod(lengths) if len(lengths) == len(search.space) else TRIALS


def candidate(space: Mapping[str, Distribution], seed: int, number: int) -> Options:
    """The values of trial `number`, from 0: the grids' in order, the last fastest, over and over; the rest are drawn.

    An option's values do not depend on which others are searched.
    """
    values: Options = {}
    for path, distribution in space.items():
        random = np.random.default_rng([seed, number, 0, *path.encode()])  # with the 0, the values of earlier versions
        values[path] = None if distribution.grid else draw(distribution, random)
    for path, distribution in reversed(list(space.items())):
        if distribution.grid is not None:
            number, place = divmod(number, len(distribution.grid))
            values[path] = distribution.grid[place]
    return values


def with_options(experiment: Experiment, options: Options) -> Experiment:
    """What a trial trains: the sweep's experiment with these options, and without what is searched.

    Raises RequestError: they do not go together.
    """
    return config.change(experiment.model_copy(update={"search": Search()}), options, "search.space")


def draw(distribution: Distribution, random: np.random.Generator) -> Any:
    """One value. Floats have four significant digits, so that tables and files can be read."""
    if distribution.uniform is not None:
        low, high = distribution.uniform
        return rounded(random.uniform(low, high), low, high)
    if distribution.loguniform is not None:
        low, high = distribution.loguniform
        return rounded(math.exp(random.uniform(math.log(low), math.log(high))), low, high)
    if distribution.randint is not None:
        first, last = distribution.randint
        return int(random.integers(first, last, endpoint=True))
    values = listed(distribution)
    return values[int(random.integers(len(values)))]


def listed(distribution: Distribution) -> list[Any]:
    """The values of a choice or a grid; none for a range."""
    return distribution.choice or distribution.grid or []


def rounded(value: float, low: float, high: float) -> float:
    """The value to four significant digits, inside the range."""
    return float(min(max(float(f"{value:.4g}"), low), high))
