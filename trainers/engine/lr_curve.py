"""The arithmetic of the learning-rate range test: when to stop it, and which rate its curve suggests.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, with the growing rates and the
smoothing of Gugger 2018, "How Do You Find A Good Learning Rate".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Of the smoothing: an average over about 10 of the test's 100 steps; Gugger's 0.98 is one over 50.
BETA = 0.9
UNSETTLED = 5  # points at the start whose smoothed loss is an average over too few
FEWEST = 20  # points, below which a curve says nothing
EXPLODED = 4.0  # times the best smoothed loss: the test stops, as Gugger has it
# A fall counts from this share of the initial loss on, and from so many times the noise about the smoothed curve.
FALL, NOISE = 0.1, 2.0


@dataclass(frozen=True)
class LrCurve:
    """What a range test measured.

    Args:
        rates: of each step, growing by equal ratios.
        losses: of each step's batch, before the step; they may end in infinities or NaN.
    """

    rates: Sequence[float]
    losses: Sequence[float]

    @cached_property
    def exploded(self) -> bool:
        """Whether the test has seen enough: the last loss is not finite, or the smoothed one is far above its best."""
        if len(self._finite()) < len(self.losses):
            return True
        settled = _smooth(self.losses)[UNSETTLED:]
        return bool(settled) and settled[-1] > EXPLODED * min(settled)

    @cached_property
    def smoothed(self) -> list[float]:
        """The losses up to the first that is not finite, smoothed there and back.

        One way alone, an exponential average lags by some ten points, which over a test's range of rates is half a
        decade. Losses above all of the first count no more than those: how badly it explodes must not be smeared
        over what came before.
        """
        finite = self._finite()
        ceiling = max(finite[:UNSETTLED], default=0.0)
        there = _smooth([min(loss, ceiling) for loss in finite])
        return _smooth(there[::-1])[::-1]

    @cached_property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls most steeply against the logarithm of the rate.

        None if there is no such fall: the curve is too short or flat, only noise, or goes up from the beginning.
        """
        smoothed = np.array(self.smoothed)
        if len(smoothed) < FEWEST:
            return None
        lowest = UNSETTLED + int(smoothed[UNSETTLED:].argmin())
        noise = np.median(np.abs(np.array(self._finite()) - smoothed)[: lowest + 1])
        fall = smoothed[UNSETTLED] - smoothed[lowest]
        if fall < max(FALL * abs(smoothed[UNSETTLED]), NOISE * noise):
            return None
        slope = np.gradient(smoothed, np.log(self.rates[: len(smoothed)]))
        return float(self.rates[UNSETTLED + int(slope[UNSETTLED : lowest + 1].argmin())])

    def _finite(self) -> list[float]:
        end = next((i for i, loss in enumerate(self.losses) if not math.isfinite(loss)), len(self.losses))
        return list(self.losses[:end])


def _smooth(losses: Sequence[float]) -> list[float]:
    """The exponential average of the losses up to each, without bias to zero at the start (as in Adam)."""
    smoothed: list[float] = []
    average = 0.0
    for count, loss in enumerate(losses, start=1):
        average = BETA * average + (1 - BETA) * loss
        smoothed.append(average / (1 - BETA**count))
    return smoothed
