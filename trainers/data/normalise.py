"""From bytes to what a network sees, and back."""

from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Self

import torch

# Mean and deviation of pixels between 0 and 1, per channel, or one for all of them.
KNOWN: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    # Of ImageNet's training images, in RGB (torchvision's documentation of its models): its networks expect it.
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "mnist": ((0.1307,), (0.3081,)),  # of MNIST's training images
    "unit": ((0.0,), (1.0,)),  # 0 … 1
    "symmetric": ((0.5,), (0.5,)),  # -1 … 1
}


@dataclass(frozen=True)
class Normalise:
    """Takes `mean` from pixels between 0 and 1 and divides them by `std`, channel by channel."""

    # Not torchvision's `functional.normalize`: it wants floats, channels first, which is one more pass over the memory.

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, name: str, channels: int) -> Self:
        """The normalisation called `name` (`data.normalise`) for images of 1 or 3 channels."""

        def fit(values: tuple[float, ...]) -> tuple[float, ...]:
            return (fmean(values),) if channels == 1 else values * (channels // len(values))

        mean, std = KNOWN[name]
        return cls(fit(mean), fit(std))

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Bytes [N, H, W, C] to floats [N, C, H, W] in channels-last memory; vectors, floats [N, D], stay."""
        if inputs.dtype != torch.uint8:
            return inputs
        mean, std = self._in_bytes(inputs.device)
        return ((inputs.float() - mean) / std).permute(0, 3, 1, 2)

    def undo(self, images: torch.Tensor) -> torch.Tensor:
        """Floats [N, C, H, W] to the nearest bytes [N, H, W, C]."""
        mean, std = self._in_bytes(images.device)
        return (images.float().permute(0, 2, 3, 1) * std + mean).round().clamp(0, 255).to(torch.uint8)

    def level(self, brightness: float, device: torch.device) -> torch.Tensor:
        """What a pixel of this brightness, 0 to 1, becomes, [1, C, 1, 1]."""
        mean, std = self._in_bytes(device)
        return ((brightness * 255 - mean) / std).view(1, -1, 1, 1)

    def _in_bytes(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        return _constant(self.mean, device), _constant(self.std, device)


@lru_cache
def _constant(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Kept on the device, because to bring it there in each step would make the host wait for the device."""
    with torch.inference_mode(False):  # who asks first must not decide what it can be used for
        return torch.tensor(values, device=device) * 255
