"""How good generated images are, by a classifier of real ones.

Its features tell how far they are from the real ones (the Fréchet distance), its probabilities whether every class is
drawn (mode collapse) and how clearly. The distance is that of Heusel et al. 2017, "GANs Trained by a Two Time-Scale
Update Rule", with a classifier of the same images in the place of Inception's, which knows nothing of digits.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.tasks.classification import Classifier
from trainers.tasks.frechet import frechet_distance, statistics

_LEAST_DIVERSITY = 0.5  # with 10 classes: about 3 of them, equally often
_LEAST_SHARE = 0.1  # of a class's fair share, to count as drawn: a few strays do not


class GanEvaluator:
    """Measures generated images against real ones by a classifier.

    Args:
        classifier: of the same images, with features.
        real: bytes [N, H, W, C], N > 1.

    Raises RequestError: the classifier does not give its features.
    """

    def __init__(self, classifier: Classifier, real: np.ndarray) -> None:
        self.classifier = classifier
        self.real = statistics(torch.from_numpy(classifier.features(real)))

    def metrics(self, images: np.ndarray) -> dict[str, float]:
        """Of generated images, bytes [n, H, W, C].

        `frechet`: distance of their features from the real ones', lower is better; `diversity`: entropy of the
        predicted classes, 1 when all are equally frequent; `confident`: share of which the classifier is sure by more
        than 0.9; `classes`: how many classes appear; `collapsed`: 1 when they are few.
        """
        probabilities = self.classifier.probabilities(images)
        distance = frechet_distance(statistics(torch.from_numpy(self.classifier.features(images))), self.real)
        return {
            "frechet": distance,
            "diversity": diversity(probabilities),
            "confident": confident(probabilities),
            "classes": float(len(np.unique(probabilities.argmax(axis=1)))),
            "collapsed": float(collapsed(probabilities)),
        }


def diversity(probabilities: NDArray[np.floating]) -> float:
    """Entropy of how often each class is predicted, as a share of the largest possible.

    1 where all classes are predicted equally often, 0 where it is always the same. `probabilities` is [N, C].
    """
    shares = _shares(probabilities)
    if len(shares) == 1:
        return 1.0
    drawn = shares[shares > 0]
    return float((drawn * -np.log(drawn)).sum()) / math.log(len(shares))


def confident(probabilities: NDArray[np.floating], above: float = 0.9) -> float:
    """Share of the samples whose most probable class has more than `above`. `probabilities` is [N, C]."""
    return float((probabilities.max(axis=1) > above).mean())


def collapsed(probabilities: NDArray[np.floating]) -> bool:
    """Whether the generator draws too few of the classes. `probabilities` is [N, C].

    That is so if the diversity is below 0.5 (one class crowds out the others), or if fewer than half of the classes
    are drawn at least a tenth as often as they would be if all were equal.
    """
    shares = _shares(probabilities)
    drawn = int((shares >= _LEAST_SHARE / len(shares)).sum())
    possible = min(probabilities.shape)  # N samples cannot show more than N classes
    return diversity(probabilities) < _LEAST_DIVERSITY or drawn < possible / 2


def _shares(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """How often each class is the most probable one [C], summing to 1.

    Raises ValueError without any sample.
    """
    if probabilities.ndim != 2 or len(probabilities) == 0:
        raise ValueError(f"probabilities must be [N, C] with N > 0, got {probabilities.shape}")
    count, classes = probabilities.shape
    shares: NDArray[np.float64] = np.bincount(probabilities.argmax(axis=1), minlength=classes) / count
    return shares
