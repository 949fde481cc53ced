"""What rank 0 tells the driver while a job runs: plain values that any process can read."""

from dataclasses import dataclass, field

import numpy as np

Row = dict[str, float]


@dataclass(frozen=True)
class Restored:
    """Training goes on from a checkpoint after so many finished epochs; 0 when it begins."""

    epoch: int
    history: list[Row] = field(default_factory=list)
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstBatch:
    """The first training images as the network sees them, bytes [n, H, W, C], and their class numbers [n] if any."""

    images: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class FirstStep:
    """The first optimiser step is done; `at` is in seconds since 1970."""

    at: float


@dataclass(frozen=True)
class Progress:
    """The state inside an epoch (counted from 1); the metrics are of the epoch so far, on rank 0."""

    epoch: int
    step: int
    steps: int
    metrics: Row
    samples_per_second: float


@dataclass(frozen=True)
class Unfrozen:
    """From this epoch (counted from 1) on so many parameters are trained."""

    epoch: int
    trained: int


@dataclass(frozen=True)
class Pictured:
    """What a network makes after an epoch, bytes [n, H, W, C]; `originals` is what it was made from, if anything."""

    epoch: int
    images: np.ndarray
    originals: np.ndarray | None = None


@dataclass(frozen=True)
class EpochDone:
    """An epoch's metrics, and the checkpoint that holds its weights."""

    row: Row
    checkpoint: str


@dataclass(frozen=True)
class Tested:
    """The best weights on the test split: metrics, and the task's answer for each sample [n, K]."""

    metrics: Row
    answers: np.ndarray
    best_epoch: int
    checkpoint: str
    seconds: float


@dataclass(frozen=True)
class RangeTested:
    """The losses of a learning-rate range test, one for each rate."""

    rates: list[float]
    losses: list[float]


@dataclass(frozen=True)
class Failed:
    """Training cannot go on, and would not if it were started again."""

    message: str


Event = Restored | FirstBatch | FirstStep | Progress | Unfrozen | Pictured | EpochDone | Tested | RangeTested | Failed
