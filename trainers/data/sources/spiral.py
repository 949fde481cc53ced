"""The source `spiral`: three interleaved arms of points in the plane, which no straight line tells apart.

After the example of the CS231n notes (Stanford, "Putting it together: Minimal Neural Network Case Study"): of 1,000
points per arm, radius and angle grow together, with Gaussian noise of deviation 0.2 on the angle. A linear classifier
is right for about half of them, a network with one hidden layer of 100 units for 98 to 99 %.
"""

import numpy as np

from trainers.data.bulk import Arrays, Bulk
from trainers.data.listing import UNSPLIT

VERSION = "1"  # to be raised whenever the points change
ARMS = ("arm 1", "arm 2", "arm 3")
POINTS = 1000  # per arm


def list_spiral(*_: object) -> Bulk:
    """Points [3000, 2] in the unit disc, about; each arm is a class."""
    return Bulk(ARMS, VERSION, _points, "the spiral")


def _points() -> Arrays:
    random = np.random.RandomState(0)  # the one of NumPy's generators whose stream is frozen for good
    radius = np.linspace(0, 1, POINTS)
    angle = 4 * (radius + np.arange(len(ARMS))[:, None]) + random.normal(0, 0.2, (len(ARMS), POINTS))
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1).reshape(-1, 2)
    return Arrays(
        names=[f"{arm}/{number:03}" for arm in ARMS for number in range(POINTS)],
        inputs=points.astype(np.float32),
        labels=np.repeat(np.arange(len(ARMS)), POINTS),
        given=np.full(len(points), UNSPLIT, np.int8),
    )
