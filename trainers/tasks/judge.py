"""How good generated images are, by a classifier of real ones.

The distance is that of Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", on the features of a
classifier of the same images in the place of Inception's, which knows nothing of digits.
"""

import numpy as np
import torch

from trainers.tasks.classification import Classifier
from trainers.tasks.frechet import collapsed, confident, diversity, frechet_distance, statistics


class Judge:
    """Measures generated images against real ones by a classifier.

    Args:
        classifier: of the same images, with features.
        real: bytes [N, H, W, C].
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
