"""Adversarial training: the losses of a generator and a discriminator, and images from the former.

Goodfellow et al. 2014, "Generative Adversarial Nets"; least squares: Mao et al. 2017, "Least Squares GANs".
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainers.data import Unreadable
from trainers.tasks.predictor import BATCH, Predictor

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


def noise(count: int, latent: int, seed: int) -> torch.Tensor:
    """Codes [count, latent] from a standard normal distribution, the same for the same seed."""
    return torch.randn(count, latent, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def generate(generator: nn.Module, codes: torch.Tensor) -> torch.Tensor:
    """Images [n, C, H, W] in -1…1 from codes [n, latent], the generator in eval mode."""
    generator.eval()
    return torch.cat([generator(part).float() for part in codes.split(BATCH)])


@dataclass(frozen=True)
class Sample:
    """A generated image, as the bytes of a PNG file."""

    image: bytes


class Sampler(Predictor):
    """Makes images: a GAN's generator."""

    answer = Sample

    def predict(self, inputs: Sequence[Any]) -> list[Sample | Unreadable]:
        """One image for each seed."""
        return [
            Sample(_png(self.sample(1, int(seed))[0])) if str(seed).lstrip("-").isdigit() else Unreadable("not a seed")
            for seed in inputs
        ]

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Images, bytes [count, H, W, C], the same for the same seed."""
        codes = noise(count, self.module.latent, seed).to(self.device)  # type: ignore[arg-type]
        return self.normalise.undo(generate(self.module, codes)).cpu().numpy()


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()


PREDICTOR = Sampler  # a TASK, of one network, there is none: see trainers.engine.adversarial
