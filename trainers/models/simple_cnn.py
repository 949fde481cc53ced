"""The classic three-block convolutional network."""

import torch
from torch import nn


class SimpleCNN(nn.Module):
    """Three blocks of 3×3 convolution, ReLU and 2×2 pooling (32, 64, 128 channels), then 2048-512-64-classes.

    Images of any size from 8 px: the last feature map is averaged to 4×4. At 32 px nothing is averaged, which is the
    network that CIFAR-10 tutorials use.

    Args:
        classes: number of outputs.
        batch_norm: BatchNorm between each convolution and its ReLU.
        dropout: probability of dropping an input of the last layer.
    """

    def __init__(self, classes: int, *, batch_norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
            # A bias before BatchNorm would be subtracted again with the mean.
            blocks.append(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=not batch_norm))
            if batch_norm:
                blocks.append(nn.BatchNorm2d(outputs))
            blocks += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, 64),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(64, classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, 3, H, W] to logits [N, classes]."""
        logits: torch.Tensor = self.classifier(self.features(images))
        return logits
