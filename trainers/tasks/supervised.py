"""Tasks with one network and one loss: what is minimised, what is counted, what an answer is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn import functional

from trainers.experiment import Experiment


class Task(ABC):
    """What a training step of one network means.

    Losses are summed over the samples, so that the parts of a global batch add up to it, however unequal they are.
    """

    # What a tally counts, in its order; each but the last is a sum over samples.
    counts: ClassVar[tuple[str, ...]]

    def __init__(self, loss: str) -> None:
        self.loss_name = loss

    def targets(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What the network's outputs are compared with."""
        return targets

    @abstractmethod
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The training loss [], summed over the samples."""

    @abstractmethod
    def tally(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The `counts` of a batch, [len(counts)] float64, on the device."""

    @abstractmethod
    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is kept of each sample when a split is evaluated [n, K]."""

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Means of summed tallies; nothing if there were no samples."""
        *sums, samples = tally.tolist()
        return {name: total / samples for name, total in zip(self.counts, sums, strict=False)} if samples else {}


class Classification(Task):
    """One class of several per sample; outputs are logits [n, C], or log-probabilities for the loss `nll`.

    Args:
        loss: cross-entropy or nll.
        label_smoothing: share of the target that is spread evenly over all classes, in training only
            (Szegedy et al. 2016, "Rethinking the Inception Architecture").
    """

    counts = ("loss", "accuracy", "samples")

    def __init__(self, loss: str = "cross-entropy", label_smoothing: float = 0.0) -> None:
        super().__init__(loss)
        self.label_smoothing = label_smoothing

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


class Autoencoding(Regression):
    """Images [n, C, H, W] to be given back, pixels in 0…1 (Hinton & Salakhutdinov 2006, Science 313)."""

    def targets(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The images themselves."""
        return inputs

    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error of each image [n, 1]."""
        return (outputs.float() - targets).square().flatten(1).mean(dim=1, keepdim=True)


DISTANCES: dict[str, Callable[..., torch.Tensor]] = {
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "huber": functional.huber_loss,
    "bce": functional.binary_cross_entropy,
}


def make_task(experiment: Experiment) -> Task:
    """The experiment's task, if it has one network; a GAN's two are `trainers.tasks.adversarial`'s."""
    if experiment.task == "classification":
        return Classification(experiment.loss, experiment.training.label_smoothing)
    return {"regression": Regression, "autoencoding": Autoencoding}[experiment.task](experiment.loss)
