"""What a training step of one network means: what is minimised, what is counted, what an answer is."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch


class Task(ABC):
    """What a training step of one network means.

    Args:
        loss: one of those that the catalogue has for the task.
        label_smoothing: of the classes, where there are some.

    Losses are summed over the samples, so that the parts of a global batch add up to it, however unequal they are.
    """

    # What a tally counts, in its order; each but the last is a sum over samples.
    counts: ClassVar[tuple[str, ...]]

    def __init__(self, loss: str, label_smoothing: float = 0.0) -> None:
        self.loss_name, self.label_smoothing = loss, label_smoothing

    def targets(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What the network's outputs are compared with."""
        return targets

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The training loss [], summed over the samples."""

    @abstractmethod
    def tally(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The `counts` of a batch, [len(counts)] float64, on the device."""
        # Not torchmetrics: this vector is all that goes over the ranks, in one sum, and not each metric's states.

    @abstractmethod
    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is kept of each sample when a split is evaluated [n, K]."""

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Means of summed tallies; nothing if there were no samples."""
        *sums, samples = tally.tolist()
        return {name: total / samples for name, total in zip(self.counts, sums, strict=False)} if samples else {}
