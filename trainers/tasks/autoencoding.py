"""Autoencoding: images to be given back through a few numbers (Hinton & Salakhutdinov 2006, Science 313)."""

from dataclasses import dataclass

import numpy as np
import torch

from trainers.data import Pack
from trainers.tasks.predictor import Estimator
from trainers.tasks.regression import Regression


class Autoencoding(Regression):
    """Images [n, C, H, W] to be given back, pixels in 0…1 (Hinton & Salakhutdinov 2006, Science 313)."""

    def targets(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The images themselves."""
        return inputs

    def answers(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean squared error of each image [n, 1]."""
        return (outputs.float() - targets).square().flatten(1).mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Rebuilt:
    """An image's code in the latent space, and the mean squared error of what is made from it (pixels in 0…1)."""

    mse: float
    latent: list[float]

    def __str__(self) -> str:
        return f"reconstruction error {self.mse:.5f}"


class Reconstructor(Estimator):
    """Encodes images and gives them back."""

    answer = Rebuilt

    def reconstructions(self, images: np.ndarray) -> np.ndarray:
        """What becomes of images, bytes [n, H, W, C], n > 0, to the same."""
        rebuilt = self.map(images, self.module)
        return self.normalise.undo(torch.from_numpy(rebuilt)).numpy()

    def errors(self, images: np.ndarray) -> np.ndarray:
        """Mean squared error of each image [n], pixels in 0…1, from bytes [n, H, W, C], n > 0."""
        return self.map(images, lambda batch: (self.module(batch) - batch).square().flatten(1).mean(dim=1))

    def measure(self, pack: Pack, indices: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """Mean squared error, from that of each image [n, 1]."""
        errors = self.errors(pack.inputs[indices])
        return {"mse": float(errors.mean())}, errors[:, None]

    def _answer(self, inputs: torch.Tensor) -> list[Rebuilt]:
        latent = self.module.encode(inputs)  # type: ignore[operator]
        error = (self.module.decode(latent) - inputs).square().flatten(1).mean(dim=1)  # type: ignore[operator]
        pairs = zip(error.tolist(), latent.float().tolist(), strict=True)
        return [Rebuilt(mse, code) for mse, code in pairs]


TASK, PREDICTOR = Autoencoding, Reconstructor
