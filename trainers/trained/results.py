"""What predictions on a labelled split show: the confusion matrix, the pairs taken for each other, the worst misses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.data import Pack
from trainers.reports import draw_confusion, draw_predictions

GRID = 32  # predictions in the picture


@dataclass(frozen=True)
class Results:
    """Predictions on some samples of a pack.

    Args:
        indices: the samples [n].
        probabilities: of each class [n, C].
    """

    pack: Pack
    indices: np.ndarray
    probabilities: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """The true class of each sample [n]."""
        labels: np.ndarray = self.pack.labels[self.indices]
        return labels

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each sample [n]."""
        best: np.ndarray = self.probabilities.argmax(axis=1)
        return best

    @property
    def accuracy(self) -> float:
        """Share of samples whose most probable class is the true one."""
        return float((self.predicted == self.truth).mean())

    @property
    def losses(self) -> np.ndarray:
        """Cross-entropy of each sample [n], in nats."""
        chosen = self.probabilities[np.arange(len(self.indices)), self.truth]
        losses: np.ndarray = -np.log(np.maximum(chosen, np.finfo(np.float32).tiny))
        return losses

    def confusion(self) -> np.ndarray:
        """How often each class (rows) was taken for each (columns), [C, C]."""
        size = len(self.pack.classes)
        matrix = np.zeros((size, size), dtype=np.int64)
        np.add.at(matrix, (self.truth, self.predicted), 1)
        return matrix

    def most_confused(self, count: int) -> list[tuple[str, str, int]]:
        """The pairs (true class, predicted class, how often) that were confused most, the worst first."""
        matrix = self.confusion()
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix, axis=None, kind="stable")[:count]
        pairs = [(int(place) // len(matrix), int(place) % len(matrix)) for place in order]
        classes = self.pack.classes
        return [
            (classes[row], classes[column], int(matrix[row, column])) for row, column in pairs if matrix[row, column]
        ]

    def top_losses(self, count: int) -> list[tuple[str, str, str, float]]:
        """The samples (name, true class, predicted class, loss) with the highest losses, the worst first."""
        order = np.argsort(-self.losses, kind="stable")[:count]
        return [
            (
                self.pack.names[self.indices[place]],
                self.pack.classes[self.truth[place]],
                self.pack.classes[self.predicted[place]],
                float(self.losses[place]),
            )
            for place in order
        ]

    def draw(self, folder: Path) -> list[Path]:
        """Draws the confusion matrix and, of images, a grid of predictions into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        matrix = draw_confusion(self.confusion(), self.pack.classes, folder / "confusion.png")
        return [matrix, self._draw_grid(folder / "predictions.png")] if len(self.pack.shape) == 3 else [matrix]

    def _draw_grid(self, path: Path) -> Path:
        """The most confident mistakes first, then right ones from all over the split."""
        sure = self.probabilities.max(axis=1)
        wrong = np.flatnonzero(self.predicted != self.truth)
        right = np.flatnonzero(self.predicted == self.truth)
        worst = wrong[np.argsort(-sure[wrong], kind="stable")][: GRID // 2]
        room = min(GRID - len(worst), len(right))
        fine = right[np.linspace(0, len(right) - 1, room).astype(int)] if room else right[:0]
        chosen = np.concatenate([worst, fine])
        return draw_predictions(
            self.pack.inputs[self.indices[chosen]],
            [self.pack.classes[label] for label in self.truth[chosen]],
            [self.pack.classes[label] for label in self.predicted[chosen]],
            [float(probability) for probability in sure[chosen]],
            path,
        )
