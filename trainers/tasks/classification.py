"""Classification: one class of several per image."""

import torch
from torch.nn import functional


class Classification:
    """Cross-entropy of logits; loss and accuracy are counted.

    Args:
        label_smoothing: share of the target that is spread evenly over all classes, in training only
            (Szegedy et al. 2016, "Rethinking the Inception Architecture").
    """

    # What a tally counts, in its order; each but the last is a sum over samples.
    counts = ("loss", "accuracy", "samples")

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The summed training loss [] of logits [n, C] against targets [n]."""
        return functional.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.label_smoothing)

    def tally(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss without smoothing, hits and samples [3], each summed over the batch; stays on the device."""
        logits = logits.detach().float()
        loss = functional.cross_entropy(logits, targets, reduction="sum")
        hits = (logits.argmax(dim=1) == targets).sum()
        # float64, so that sums over a large split do not lose the small terms
        return torch.stack([loss.double(), hits.double(), torch.full_like(loss, len(targets)).double()])

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Mean loss and accuracy of summed tallies."""
        loss, hits, samples = tally.tolist()
        return {"loss": loss / samples, "accuracy": hits / samples} if samples else {}

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Probability of each class [n, C]."""
        return logits.float().softmax(dim=1)
