"""Regression: numbers to be predicted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from trainers.data import Pack
from trainers.tasks.predictor import Estimator
from trainers.tasks.task import Task

DISTANCES: dict[str, Callable[..., torch.Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "bce": functional.binary_cross_entropy,  # of pixels in 0…1
}


class Regression(Task):
    """Numbers [n, T] to be predicted; losses are means over T."""

    counts = ("loss", "mse", "samples")

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The summed loss of outputs [n, …] against targets of the same shape."""
        return DISTANCES[self.loss_name](outputs, targets, reduction="sum") / outputs[0].numel()

    def tally(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss, squared error and samples."""
        outputs = outputs.detach().float()
        loss = self.loss(outputs, targets)
        square = functional.mse_loss(outputs, targets, reduction="sum") / outputs[0].numel()
        return torch.stack([loss.double(), square.double(), torch.full_like(loss, len(targets)).double()])

    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The predictions [n, T]."""
        return outputs.float()


@dataclass(frozen=True)
class Value:
    """Predicted numbers."""

    values: list[float]

    def __str__(self) -> str:
        return ", ".join(f"{value:.4f}" for value in self.values)


class Regressor(Estimator):
    """Predicts numbers."""

    answer = Value

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions [n, T] for float32 [n, D], n > 0."""
        return self.map(inputs, self.module)

    def measure(self, pack: Pack, indices: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """Mean squared error, from the predictions [n, T]."""
        assert pack.values is not None
        values = self.values(pack.inputs[indices])
        return {"mse": float(np.square(values - pack.values[indices]).mean())}, values

    def _answer(self, inputs: torch.Tensor) -> list[Value]:
        return [Value(row) for row in self.module(inputs).float().tolist()]


TASK, PREDICTOR = Regression, Regressor
