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
class FirstStep:
    """The first optimiser step is done; `at` is in seconds since 1970."""

    at: float


@dataclass(frozen=True)
class Progress:
    """The state inside an epoch (counted from 1); loss and accuracy are of the epoch so far, on rank 0."""

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    samples_per_second: float


@dataclass(frozen=True)
class EpochDone:
    """An epoch's metrics, and the checkpoint that holds its weights."""

    row: Row
    checkpoint: str


@dataclass(frozen=True)
class Tested:
    """The best weights on the test split: metrics, and the probability of each class for each sample [n, C]."""

    metrics: dict[str, float]
    probabilities: np.ndarray
    best_epoch: int
    checkpoint: str
    seconds: float


@dataclass(frozen=True)
class Failed:
    """Training cannot go on, and would not if it were started again."""

    message: str


Event = Restored | FirstStep | Progress | EpochDone | Tested | Failed
