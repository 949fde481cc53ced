"""The search that one does by hand: powers of ten first, one option after the other, then finer around the best."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from trainers.experiment import Distribution
from trainers.search.draw import Options, listed, rounded

HALVINGS = 6  # of a step: the finest is 10^(1/64), 4 %
FINEST = 2**HALVINGS


class Decades:
    """A pattern search (Hooke & Jeeves 1961, "Direct Search Solution of Numerical and Statistical Problems").

    First one option after the other is tried with the best of the others: `loguniform` at powers of ten (or its ends
    where it holds fewer than two), then every value of `choice`, then `uniform` and `randint` at quarters of the range.
    Then steps are made from the best, up and down, an option at a time; when none is left that has not been tried, the
    steps are halved. What is suggested follows from the results alone, so that a sweep can go on where it was.
    """

    def __init__(self, space: Mapping[str, Distribution]) -> None:
        self._space = dict(sorted(space.items(), key=lambda item: item[1].loguniform is None))
        self._middle = {path: first_values(distribution)[0] for path, distribution in self._space.items()}

    def suggest(self, number: int, results: Mapping[int, tuple[Options, float | None]]) -> Options | None:
        """The next combination; None when the steps have become too small."""
        tried = [options for options, _ in results.values()]
        best, highest = self._middle, -math.inf
        for options, score in results.values():
            if score is not None and score > highest:
                best, highest = options, score
        return next((options for options in self._in_order(best, tried) if options not in tried), None)

    def _in_order(self, best: Options, tried: list[Options]) -> Iterator[Options]:
        for path, distribution in self._space.items():
            seen = [options[path] for options in tried]
            yield from (best | {path: value} for value in first_values(distribution) if value not in seen)
        for halvings in range(1, HALVINGS + 1):
            for path, distribution in self._space.items():
                yield from (best | {path: value} for value in _steps(distribution, best[path], 0.5**halvings))


def first_values(distribution: Distribution) -> list[Any]:
    """The values to try first: those of a range from the middle outwards, those of a list in its order."""
    if distribution.loguniform is not None:
        low, high = map(float, distribution.loguniform)
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        powers = [power for power in (float(f"1e{exponent}") for exponent in exponents) if low <= power <= high]
        return _from_middle(powers if len(powers) > 1 else [low, high])
    if distribution.uniform is not None:
        low, high = distribution.uniform
        return _from_middle([rounded(low + (high - low) * quarter / 4, low, high) for quarter in range(5)])
    if distribution.randint is not None:
        first, last = distribution.randint
        return _from_middle(sorted({first + round((last - first) * quarter / 4) for quarter in range(5)}))
    return list(listed(distribution))


def _from_middle(values: list[Any]) -> list[Any]:
    middle = (len(values) - 1) // 2
    return [values[place] for place in sorted(range(len(values)), key=lambda place: abs(place - middle))]


def _steps(distribution: Distribution, value: Any, size: float) -> list[Any]:
    """The values one step up and one step down; a step of size 1 is from one of the first values to the next."""
    if distribution.loguniform is not None:
        # From the unrounded value, or a step up and one down would not lead back.
        exponent = round(math.log10(value) * FINEST) / FINEST
        return [rounded(10 ** (exponent + step), *distribution.loguniform) for step in (size, -size)]
    if distribution.uniform is not None:
        low, high = distribution.uniform
        quarters = round((value - low) / (high - low) * 4 * FINEST) / FINEST
        return [rounded(low + (high - low) * (quarters + step) / 4, low, high) for step in (size, -size)]
    if distribution.randint is not None:
        first, last = distribution.randint
        step = max(1, round(size * (last - first) / 4))
        return [min(max(value + way, first), last) for way in (step, -step)]
    values = listed(distribution)
    place = values.index(value)
    return values[place + 1 : place + 2] + values[max(0, place - 1) : place]
