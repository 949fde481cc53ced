"""The classic three-block convolutional network."""

import torch
from torch import nn


class SimpleCNN(nn.Module):
    """Three blocks of 3×3 convolution, ReLU and 2×2 pooling (32, 64, 128 channels), then 2048-512-64-outputs.

    Images of any size from 8 px: the last feature map is averaged to 4×4. At 32 px nothing is averaged, which is the
    network that CIFAR-10 tutorials use. Its dropout layer drops nothing until `model.dropout` is set.

    Args:
        outputs: number of outputs.
        channels: of the images.
        batch_norm: BatchNorm between each convolution and its ReLU.
    """

    def __init__(self, outputs: int, *, channels: int = 3, batch_norm: bool = False) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in ((channels, 32), (32, 64), (64, 128)):
            # A bias before BatchNorm would be subtracted again with the mean.
            blocks.append(nn.Conv2d(before, after, kernel_size=3, padding=1, bias=not batch_norm))
            if batch_norm:
                blocks.append(nn.BatchNorm2d(after))
            blocks += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(0.0),
            nn.Linear(64, outputs),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to outputs [N, outputs]."""
        logits: torch.Tensor = self.classifier(self.features(images))
        return logits
