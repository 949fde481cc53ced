"""The networks that CIFAR-10 is usually measured with: VGG and ResNet for images of 32 px."""

import torch
from torch import nn
from torch.nn import functional

# Simonyan & Zisserman 2015, "Very Deep Convolutional Networks", table 1: convolutions of each stage, and its width.
VGG_WIDTHS = (64, 128, 256, 512, 512)
VGG_DEPTHS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


class CifarVGG(nn.Module):
    """VGG with BatchNorm, whose three wide linear layers, made for 224 px, are replaced by one.

    Args:
        depth: 11 or 16.
        channels: of the images.
        outputs: number of outputs.
    """

    def __init__(self, depth: int, channels: int, outputs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, convolutions in zip(VGG_WIDTHS, VGG_DEPTHS[depth], strict=True):
            for _ in range(convolutions):
                layers += [
                    nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(inplace=True),
                ]
                channels = width
            # Rounded up, so that five halvings leave at least one pixel of images under 32 px, too.
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, outputs)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to outputs [N, outputs]."""
        logits: torch.Tensor = self.classifier(self.features(images).mean(dim=(2, 3)))
        return logits


class CifarResNet(nn.Module):
    """The ResNet for CIFAR-10 of He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.

    Three stages of 16, 32 and 64 channels, 6n + 2 layers in all; the shortcuts have no parameters (option A).

    Args:
        depth: 20, 32, 44 or 56.
        channels: of the images.
        outputs: number of outputs.
    """

    def __init__(self, depth: int, channels: int, outputs: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, 16, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(blocks)))
        self.layer2 = nn.Sequential(Block(16, 32), *(Block(32, 32) for _ in range(blocks - 1)))
        self.layer3 = nn.Sequential(Block(32, 64), *(Block(64, 64) for _ in range(blocks - 1)))
        self.linear = nn.Linear(64, outputs)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to outputs [N, outputs]."""
        features = functional.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: torch.Tensor = self.linear(features.mean(dim=(2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut round them; the side is halved where there are more channels afterwards."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.stride = 1 if before == after else 2
        self.added = after - before
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, before, H, W] to [N, after, H / stride, W / stride]."""
        residual = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(features)))))
        if self.added:  # option A: every second pixel, and zeros for the channels that there were not
            half = self.added // 2
            features = functional.pad(features[:, :, ::2, ::2], (0, 0, 0, 0, half, self.added - half))
        return functional.relu(features + residual)


def _initialise(network: nn.Module) -> None:
    # He et al. 2015, "Delving Deep into Rectifiers", which both networks were trained with
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
