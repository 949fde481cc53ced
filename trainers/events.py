"""What rank 0 tells the driver while a job runs: plain values that any process can read."""

from dataclasses import dataclass, field
from typing import Any, Literal

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
class MicroBatch:
    """From here on each rank takes so many samples at a time: told at the start, and when memory ran out.

    Attributes:
        size: the micro-batch.
        share: a rank's part of the global batch.
        epoch: counted from 1.
        step: of the epoch, counted from 1.
        cause: what ran out of memory; empty where nothing did.
        normalised: samples over which BatchNorm normalises; None where none is trained.
    """

    size: int
    share: int
    epoch: int
    step: int
    cause: str = ""
    normalised: int | None = None


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
class Warned:
    """Something has gone wrong that training can go on without."""

    message: str


@dataclass(frozen=True)
class Failed:
    """Training cannot go on, and would not if it were started again."""

    message: str


Event = (
    Restored
    | FirstBatch
    | FirstStep
    | Progress
    | Unfrozen
    | MicroBatch
    | Pictured
    | EpochDone
    | Tested
    | RangeTested
    | Warned
    | Failed
)


@dataclass(frozen=True)
class TrialStarted:
    """A trial of a sweep, numbered from 0, begins with these values of the searched options."""

    number: int
    options: dict[str, Any]


@dataclass(frozen=True)
class TrialTold:
    """What a trial's rank 0 tells."""

    number: int
    event: Event


@dataclass(frozen=True)
class TrialEnded:
    """A trial has come to its end: by itself, by the scheduler or the time limit, or by an error."""

    number: int
    state: Literal["finished", "stopped", "failed"]
    cause: str = ""


SweepEvent = TrialStarted | TrialTold | TrialEnded
