"""The source `curve`: noisy points of a known curve, for regression.

y = x³ + 0.5 sin(4x) for 1,000 x, uniform in -1…1, plus Gaussian noise of deviation `CURVE_NOISE`. So on
unseen points no model comes below a mean squared error of `CURVE_NOISE`² = 0.01 but by chance; a straight line stays at
0.04, a network with one hidden layer of 64 units comes to 0.012.
"""

import numpy as np

from trainers.data.bulk import Arrays, Bulk
from trainers.data.listing import UNSPLIT

VERSION = "1"  # to be raised whenever the points change
CURVE_NOISE = 0.1  # standard deviation
POINTS = 1000


def list_curve(*_: object) -> Bulk:
    """Inputs x [1000, 1] and values y [1000, 1]."""
    return Bulk((), VERSION, _points, "the curve")


def _points() -> Arrays:
    random = np.random.RandomState(0)  # the one of NumPy's generators whose stream is frozen for good
    x = random.uniform(-1, 1, (POINTS, 1))
    y = x**3 + 0.5 * np.sin(4 * x) + random.normal(0, CURVE_NOISE, x.shape)
    return Arrays(
        names=[f"{number:03}" for number in range(POINTS)],
        inputs=x.astype(np.float32),
        labels=np.zeros(POINTS, np.int64),
        given=np.full(POINTS, UNSPLIT, np.int8),
        values=y.astype(np.float32),
    )
