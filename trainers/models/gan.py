"""Generative adversarial networks (Goodfellow et al. 2014): a generator of images and a discriminator of its fakes."""

import math

import torch
from torch import nn

from trainers.data import Shape
from trainers.models.shape import quarter

SLOPE = 0.2  # of LeakyReLU, in both networks (Radford et al. 2016, section 3)
# Channels at an eighth, a quarter and half of the side: an eighth of the paper's, which were made for GPUs.
DEEP, WIDE, NARROW = 128, 64, 32


class GanNetworks(nn.Module):
    """A generator and a discriminator of images [N, C, H, W] in -1…1.

    Attributes:
        generator: noise [N, latent], drawn from N(0, 1), to images.
        discriminator: images to logits [N], positive for what it takes to be real.
        latent: how many numbers an image is made from.
    """

    def __init__(self, generator: nn.Sequential, discriminator: nn.Sequential, latent: int) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent = latent

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Noise [N, latent] to images [N, C, H, W] in -1…1."""
        images: torch.Tensor = self.generator(noise)
        return images


def mlp_gan(shape: Shape, latent: int) -> GanNetworks:
    """Fully connected: latent-256-512-pixels against pixels-512-256-1, the latter with dropout of 0.3."""
    pixels = math.prod(shape)
    generator = nn.Sequential(
        nn.Linear(latent, 256),
        nn.LeakyReLU(SLOPE),
        nn.Linear(256, 512),
        nn.LeakyReLU(SLOPE),
        nn.Linear(512, pixels),
        nn.Tanh(),
        nn.Unflatten(1, shape),
    )
    discriminator = nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, 512),
        nn.LeakyReLU(SLOPE),
        nn.Dropout(0.3),
        nn.Linear(512, 256),
        nn.LeakyReLU(SLOPE),
        nn.Dropout(0.3),
        nn.Linear(256, 1),
        nn.Flatten(0),
    )
    return GanNetworks(generator, discriminator, latent)


def dcgan(shape: Shape, latent: int) -> GanNetworks:
    """DCGAN (Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs").

    Strided and transposed convolutions, BatchNorm in both networks but not where images come in or go out, weights
    from N(0, 0.02); three doublings of the side, so that it also fits digits of 28 px.

    Raises RequestError: the side of the images is no multiple of 4.
    """
    channels, quarter_side = shape[0], quarter("dcgan", shape)
    side = -(-quarter_side // 2)
    generator = nn.Sequential(
        nn.Linear(latent, DEEP * side**2, bias=False),
        nn.Unflatten(1, (DEEP, side, side)),
        nn.BatchNorm2d(DEEP),
        nn.ReLU(inplace=True),
        # An odd quarter, as of 28 px, is not the double of anything: 4 becomes 7.
        nn.ConvTranspose2d(DEEP, WIDE, kernel_size=4 - quarter_side % 2, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(WIDE),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(WIDE, NARROW, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(NARROW),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(NARROW, channels, kernel_size=4, stride=2, padding=1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(channels, NARROW, kernel_size=4, stride=2, padding=1),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(NARROW, WIDE, kernel_size=4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(WIDE),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(WIDE, DEEP, kernel_size=3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(DEEP),
        nn.LeakyReLU(SLOPE, inplace=True),
        # Over the whole map: without it the parts of an image are judged apart, and do not fit together.
        nn.Conv2d(DEEP, DEEP, kernel_size=side),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Flatten(),
        nn.Linear(DEEP, 1),
        nn.Flatten(0),
    )
    gan = GanNetworks(generator, discriminator, latent)
    for layer in gan.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1.0, std=0.02)
    return gan
