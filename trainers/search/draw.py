"""The values of a trial, drawn from the space by the sweep's seed and the trial's number alone."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from trainers import config
from trainers.experiment import Distribution, Experiment, Search

Options = dict[str, Any]

TRIALS = 20  # where nothing says how many
REDRAWN = 0.25  # Jaderberg et al. 2017, "Population Based Training of Neural Networks", as are the factors
FACTORS = (0.8, 1.2)


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
        values[path] = None if distribution.grid else draw(distribution, _generator(seed, number, path))
    for path, distribution in reversed(list(space.items())):
        if distribution.grid is not None:
            number, place = divmod(number, len(distribution.grid))
            values[path] = distribution.grid[place]
    return values


def with_options(experiment: Experiment, options: Options) -> Experiment:
    """What a trial trains: the sweep's experiment with these options, and without what is searched.

    Raises:
        RequestError: they do not go together.
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


def change_a_little(space: Mapping[str, Distribution], options: Options, seed: int, number: int, epoch: int) -> Options:
    """Options a little different from others that did well, for trial `number` to go on with after an epoch.

    Numbers grow or shrink by a fifth, lists go one place on or back; one in four is drawn anew.
    """
    changed: Options = {}
    for path, distribution in space.items():
        random, value = _generator(seed, number, path, epoch), options[path]
        ends = distribution.uniform or distribution.loguniform
        if random.random() < REDRAWN:
            changed[path] = draw(distribution, random)
        elif ends is not None:
            changed[path] = rounded(value * random.choice(FACTORS), *ends)
        elif distribution.randint is not None:
            low, high = distribution.randint
            step = max(1, round(abs(value) * (FACTORS[1] - 1)))
            changed[path] = min(max(value + step * int(random.choice((-1, 1))), low), high)
        else:
            values = listed(distribution)
            changed[path] = values[min(max(values.index(value) + int(random.choice((-1, 1))), 0), len(values) - 1)]
    return changed


def listed(distribution: Distribution) -> list[Any]:
    """The values of a choice or a grid; none for a range."""
    return distribution.choice or distribution.grid or []


def rounded(value: float, low: float, high: float) -> float:
    """The value to four significant digits, inside the range."""
    return float(min(max(float(f"{value:.4g}"), low), high))


def _generator(seed: int, number: int, path: str, epoch: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, number, epoch, *path.encode()])
