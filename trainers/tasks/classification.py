"""Classification: one class of several per sample."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainers.data import Pack
from trainers.errors import RequestError
from trainers.tasks.predictor import Estimator
from trainers.tasks.task import Task


class Classification(Task):
    """One class of several per sample; outputs are logits [n, C], or log-probabilities for the loss `nll`.

    Args:
        loss: cross-entropy or nll.
        label_smoothing: share of the target that is spread evenly over all classes, in training only
            (Szegedy et al. 2016, "Rethinking the Inception Architecture").
    """

    counts = ("loss", "accuracy", "samples")

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The summed loss of outputs [n, C] against classes [n], or against blended classes [n, C]."""
        return self._loss(outputs, targets, self.label_smoothing)

    def tally(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss without smoothing, hits and samples; of blended classes, the greater part is the one to hit."""
        outputs = outputs.detach().float()
        loss = self._loss(outputs, targets, 0.0)
        truth = targets if targets.ndim == 1 else targets.argmax(dim=1)
        hits = (outputs.argmax(dim=1) == truth).sum()
        # float64, so that sums over a large split do not lose the small terms
        return torch.stack([loss.double(), hits.double(), torch.full_like(loss, len(targets)).double()])

    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Probability of each class [n, C]. The softmax of log-probabilities is the probabilities themselves."""
        return outputs.float().softmax(dim=1)

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        if self.loss_name == "nll":
            if targets.ndim == 1:
                targets = functional.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
            return -(outputs * (targets * (1 - smoothing) + smoothing / outputs.shape[1])).sum()
        return functional.cross_entropy(outputs, targets, reduction="sum", label_smoothing=smoothing)


@dataclass(frozen=True)
class Named:
    """The most probable class, and the probability of each in the order of the classes."""

    label: str
    probability: float
    probabilities: list[float]

    def __str__(self) -> str:
        return f"{self.label}  {self.probability:.3f}"


class Classifier(Estimator):
    """Tells classes apart."""

    answer = Named

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Probability of each class [n, C] for bytes [n, H, W, C] or float32 [n, D], n > 0."""
        return self.map(inputs, lambda batch: self.module(batch).float().softmax(dim=1))

    def measure(self, pack: Pack, indices: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """Mean cross-entropy in nats and accuracy in 0…1, from the probabilities [n, C]."""
        truth = pack.labels[indices]
        logs = self.map(pack.inputs[indices], lambda batch: self.module(batch).float().log_softmax(dim=1))
        loss = -logs[np.arange(len(truth)), truth].mean()
        return {"loss": float(loss), "accuracy": float((logs.argmax(axis=1) == truth).mean())}, np.exp(logs)

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """What the last layer sees [n, F] of bytes [n, H, W, C], n > 0, for networks that tell (`cnn`).

        Raises RequestError: this network does not.
        """
        features = getattr(self.module, "features", None)
        if features is None or isinstance(features, nn.Module):
            name = self.description["model"]["name"]
            raise RequestError(f"gan.classifier: {name} does not give its features; train one with --model.name cnn")
        return self.map(inputs, features)

    def _answer(self, inputs: torch.Tensor) -> list[Named]:
        rows = self.module(inputs).float().softmax(dim=1).tolist()
        return [Named(self.classes[best], row[best], row) for row in rows for best in [row.index(max(row))]]


TASK, PREDICTOR = Classification, Classifier
