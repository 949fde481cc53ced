"""Random changes to whole batches of training images, and their normalisation, on the device that trains.

The random numbers are drawn for the global batch from (seed, epoch, step) alone and each rank takes its rows, so that
a run sees the same images whatever its world size and micro-batch are.
"""

import math

import torch
from torch.nn import functional

from trainers.experiment import Augment

# Of ImageNet's training images, in RGB (torchvision's documentation of its models); networks trained there expect it.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

COLUMNS = 8  # flip, scale, shift x, shift y, angle, brightness, contrast, saturation


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Bytes [N, H, W, 3] to floats [N, 3, H, W] with ImageNet's mean 0 and deviation 1, in channels-last memory."""
    mean = torch.tensor(MEAN, device=images.device) * 255
    std = torch.tensor(STD, device=images.device) * 255
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def draw(count: int, augment: Augment, generator: torch.Generator) -> torch.Tensor | None:
    """Draws the change of each of `count` images, [count, COLUMNS]; None when nothing is asked for."""
    if not any((augment.flip, augment.zoom, augment.rotate, augment.color)):
        return None
    uniform = torch.rand(count, COLUMNS, generator=generator)
    either_way = uniform * 2 - 1
    scale = 1 - augment.zoom * uniform[:, 1]
    return torch.stack(
        [
            (uniform[:, 0] < augment.flip).float() * -2 + 1,
            scale,
            either_way[:, 2] * (1 - scale),  # the crop stays inside the image
            either_way[:, 3] * (1 - scale),
            either_way[:, 4] * math.radians(augment.rotate),
            *(1 + either_way[:, column] * augment.color for column in (5, 6, 7)),
        ],
        dim=1,
    )


def apply(images: torch.Tensor, changes: torch.Tensor | None, augment: Augment) -> torch.Tensor:
    """Normalised images [N, 3, H, W] from bytes [N, H, W, 3] and their drawn changes [N, COLUMNS]."""
    if changes is None:
        return normalise(images)
    if augment.zoom == 0 and augment.rotate == 0:
        mirrored = (changes[:, 0] < 0).view(-1, 1, 1, 1)
        images = torch.where(mirrored, images.flip(2), images)
    batch = normalise(images)
    if augment.color:
        batch = _colour(batch, changes)
    if augment.zoom or augment.rotate:
        batch = _place(batch, changes)
    return batch


def _place(batch: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Mirror, crop and rotation in one bilinear resampling; what lies outside is mirrored in."""
    flip, scale, shift_x, shift_y, angle = changes[:, :5].unbind(1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    first = torch.stack([cos * flip, -sin, shift_x], dim=1)
    second = torch.stack([sin * flip, cos, shift_y], dim=1)
    grid = functional.affine_grid(torch.stack([first, second], dim=1), list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _colour(batch: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast and saturation, each a factor about 1, on normalised images.

    In normalised space 0 is ImageNet's mean grey, about which contrast is stretched; brightness is a shift of up to
    one deviation. It is not bit for bit what an image editor does, which training does not ask for.
    """
    brightness, contrast, saturation = (column.view(-1, 1, 1, 1) for column in changes[:, 5:].unbind(1))
    grey = batch.mean(dim=1, keepdim=True)
    return (grey + (batch - grey) * saturation) * contrast + (brightness - 1)
