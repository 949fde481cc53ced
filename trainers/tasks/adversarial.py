"""Adversarial training: the losses of a generator and a discriminator, and how good what is generated is.

Goodfellow et al. 2014, "Generative Adversarial Nets"; least squares: Mao et al. 2017, "Least Squares GANs"; the
distance: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", on the features of a classifier of the
same images in the place of Inception's, which knows nothing of digits.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainers.tasks.frechet import collapsed, confident, diversity, frechet_distance, statistics
from trainers.tasks.predictor import BATCH, Classifier

DISTANCES: dict[str, Callable[..., torch.Tensor]] = {
    "bce": functional.binary_cross_entropy_with_logits,
    "least-squares": functional.mse_loss,
}
COUNTS = ("discriminator_loss", "generator_loss", "samples")


class AdversarialLoss:
    """The two losses, each summed over the samples, of a discriminator's logits [n].

    Args:
        loss: bce, with the non-saturating loss of the generator (Goodfellow et al. 2014, section 3), or least-squares
            with the labels 0 and 1 (Mao et al. 2017, equation 9).
        label_smoothing: real images are labelled 1 minus this; one-sided (Salimans et al. 2016, section 3.4).
    """

    def __init__(self, loss: str, label_smoothing: float = 0.0) -> None:
        self.distance = DISTANCES[loss]
        self.real_label = 1 - label_smoothing

    def discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        """How badly real images are told from generated ones [], the mean of the two."""
        return (self._against(real, self.real_label) + self._against(fake, 0.0)) / 2

    def generator(self, fake: torch.Tensor) -> torch.Tensor:
        """How badly generated images pass for real ones []."""
        return self._against(fake, 1.0)

    def _against(self, logits: torch.Tensor, label: float) -> torch.Tensor:
        logits = logits.float()
        return self.distance(logits, torch.full_like(logits, label), reduction="sum")


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


def noise(count: int, latent: int, seed: int) -> torch.Tensor:
    """Codes [count, latent] from a standard normal distribution, the same for the same seed."""
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def generate(gan: nn.Module, codes: torch.Tensor) -> torch.Tensor:
    """Images [n, C, H, W] in -1…1 from codes [n, latent], the generator in eval mode."""
    gan.eval()
    return torch.cat([gan(part).float() for part in codes.split(BATCH)])
