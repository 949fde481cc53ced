"""Autoencoders (Hinton & Salakhutdinov 2006): images to a few numbers and back."""

import math

import torch
from torch import nn

from trainers.data import Shape
from trainers.models.shape import quarter


class Autoencoder(nn.Module):
    """An encoder of images in 0…1 into `latent` numbers each, and a decoder of these into images in 0…1."""

    def __init__(self, encoder: nn.Sequential, decoder: nn.Sequential, latent: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.latent = latent

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to latent numbers [N, latent]."""
        latent: torch.Tensor = self.encoder(images)
        return latent

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        """Latent numbers [N, latent] to images [N, C, H, W] in 0…1."""
        images: torch.Tensor = self.decoder(latent)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images [N, C, H, W] to their reconstructions, of the same shape."""
        return self.decode(self.encode(images))


def mlp_autoencoder(shape: Shape, latent: int) -> Autoencoder:
    """Fully connected: pixels-512-256-latent-256-512-pixels, with ReLU between."""
    pixels = math.prod(shape)
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(pixels, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, latent)
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 256),
        nn.ReLU(),
        nn.Linear(256, 512),
        nn.ReLU(),
        nn.Linear(512, pixels),
        nn.Sigmoid(),
        nn.Unflatten(1, shape),
    )
    return Autoencoder(encoder, decoder, latent)


def conv_autoencoder(shape: Shape, latent: int) -> Autoencoder:
    """Convolutional: two strided convolutions and a linear layer, and their mirror image.

    Raises RequestError: the side of the images is no multiple of 4.
    """
    channels, side = shape[0], quarter("conv_autoencoder", shape)
    encoder = nn.Sequential(
        nn.Conv2d(channels, 16, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side**2, latent),
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 32 * side**2),
        nn.ReLU(),
        nn.Unflatten(1, (32, side, side)),
        nn.ConvTranspose2d(32, 16, kernel_size=4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(16, channels, kernel_size=4, stride=2, padding=1),
        nn.Sigmoid(),
    )
    return Autoencoder(encoder, decoder, latent)
