"""A small convolutional network for digits, quick enough for two CPU cores."""

import torch
from torch import nn

from trainers.data import Shape


class CNN(nn.Module):
    """Two blocks of two 3×3 convolutions with BatchNorm, each halved in size, then 128 features and the outputs.

    Images from 8 px on, with any number of channels. Above 32 px the last feature map is averaged to 8×8.
    Its features serve as the measure of a GAN's samples (Fréchet distance), which wants few of them.

    Args:
        shape: (C, H, W) of an image.
        outputs: number of outputs.
    """

    def __init__(self, shape: Shape, outputs: int) -> None:
        super().__init__()
        channels, side = shape[0], shape[-1]
        map_side = min(side // 4, 8)
        self.blocks = nn.Sequential(
            *_convolution(channels, 16),
            *_convolution(16, 16),
            nn.MaxPool2d(2),
            *_convolution(16, 32),
            *_convolution(32, 32),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(map_side),
            nn.Flatten(),
        )
        self.hidden = nn.Sequential(nn.Linear(32 * map_side**2, 128), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(0.25)
        self.head = nn.Linear(128, outputs)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the last layer sees of images [N, C, H, W]: activations [N, 128], none of them negative."""
        features: torch.Tensor = self.hidden(self.blocks(images))
        return features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to outputs [N, outputs]."""
        logits: torch.Tensor = self.head(self.dropout(self.features(images)))
        return logits


def _convolution(before: int, after: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)
