"""Random changes to whole batches of training images, on the device that trains.

What is drawn is drawn for the global batch from (seed, epoch, step) alone and each rank takes its rows, so that a run
sees the same images whatever its world size and micro-batch are. `draw_changes` makes a table with a row for each
image, and `apply_changes` makes the changes, in the order in which they stand there. RandAugment alone goes image by
image, before them. torchvision's other transforms draw from the global generator, and one change for a whole batch.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from trainers.data.normalise import Normalise
from trainers.experiment import Augment

# The table's columns, in the order of their use; a crop is in pixels, a place a share of the side, an angle in radians.
COLUMNS = (
    *("crop_x", "crop_y"),
    "flip",
    *("brightness", "contrast", "saturation"),
    *("zoom", "zoom_x", "zoom_y", "angle"),
    *("cutout_x", "cutout_y"),
)


def asked(augment: Augment) -> list[str]:
    """The options that change images, in the schema's order."""
    return [name for name, value in augment if value and name != "randaugment_magnitude"]


def draw_changes(count: int, augment: Augment, generator: torch.Generator) -> torch.Tensor | None:
    """Draws the changes of `count` images, [count, COLUMNS]; None when none is asked for that `apply_changes` makes."""
    if not {"crop", "flip", "color", "zoom", "rotate", "cutout"}.intersection(asked(augment)):
        return None
    crop_x, crop_y, flip, *color, zoom, zoom_x, zoom_y, angle, cutout_x, cutout_y = torch.rand(
        len(COLUMNS), count, generator=generator
    )
    scale = 1 - augment.zoom * zoom
    rows = [
        *((way * (2 * augment.crop + 1)).floor() - augment.crop for way in (crop_x, crop_y)),
        (flip < augment.flip).float(),
        *(1 + _either_way(factor) * augment.color for factor in color),
        scale,
        *(_either_way(way) * (1 - scale) for way in (zoom_x, zoom_y)),  # the zoom stays inside the image
        _either_way(angle) * math.radians(augment.rotate),
        cutout_x,
        cutout_y,
    ]
    return torch.stack(rows, dim=1)


def apply_changes(
    images: torch.Tensor, changes: torch.Tensor | None, augment: Augment, normalise: Normalise
) -> torch.Tensor:
    """Normalised images [N, C, H, W] from bytes [N, H, W, C] and their drawn changes [N, COLUMNS]."""
    if changes is None:
        return normalise(images)
    if augment.crop:
        images = _crop(images, changes[:, 0:2].long(), augment.crop)
    if augment.flip:
        images = torch.where(changes[:, 2].view(-1, 1, 1, 1) > 0, images.flip(2), images)
    batch = normalise(images)
    if augment.color:
        batch = _color(batch, changes[:, 3:6], normalise)
    if augment.zoom or augment.rotate:
        batch = _resample(batch, changes[:, 6:10])
    if augment.cutout:
        batch = _cut_out(batch, changes[:, 10:12], augment.cutout)
    return batch


def rand_augment(images: torch.Tensor, seeds: Sequence[int], augment: Augment) -> torch.Tensor:
    """RandAugment (Cubuk et al. 2019, arXiv 1909.13719) by torchvision: bytes [N, H, W, C], one seed for each image.

    torchvision draws from PyTorch's global generator, on the host; that is left as it was.
    """
    from torchvision.transforms import v2

    change = v2.RandAugment(augment.randaugment, augment.randaugment_magnitude)
    changed = torch.empty_like(images)
    with torch.random.fork_rng(devices=[]):
        for place, seed in enumerate(seeds):
            torch.default_generator.manual_seed(seed)
            changed[place] = change(images[place].permute(2, 0, 1)).permute(1, 2, 0)
    return changed


def _either_way(uniform: torch.Tensor) -> torch.Tensor:
    return uniform * 2 - 1


def _crop(images: torch.Tensor, shifts: torch.Tensor, most: int) -> torch.Tensor:
    """Of the image in a black frame `most` pixels wide, the part that lies `shifts` [N, x and y] from the middle."""
    _, height, width, _ = images.shape
    framed = functional.pad(images, (0, 0, most, most, most, most))
    windows = framed.unfold(1, height, 1).unfold(2, width, 1).permute(0, 1, 2, 4, 5, 3)
    x, y = (shifts + most).unbind(1)
    return windows[torch.arange(len(images), device=images.device), y, x]


def _color(batch: torch.Tensor, factors: torch.Tensor, normalise: Normalise) -> torch.Tensor:
    """Brightness, contrast and saturation, each a factor about 1.

    Contrast is stretched about the middle grey, brightness shifts by up to a quarter of the way from black to white;
    the result stays between the two. It is not bit for bit what an image editor does: training does not ask for that.
    """
    brightness, contrast, saturation = (column.view(-1, 1, 1, 1) for column in factors.unbind(1))
    black, middle, white = (normalise.level(pixel, batch.device) for pixel in (0.0, 0.5, 1.0))
    grey = batch.mean(dim=1, keepdim=True)
    # middle + (grey + (batch - grey) * saturation - middle) * contrast + shift, in as few passes as there can be
    shift = (brightness - 1) * (white - black) / 4
    batch = batch * (saturation * contrast)
    batch += grey * ((1 - saturation) * contrast)
    batch += middle * (1 - contrast) + shift
    return batch.clamp_(black, white)


def _resample(batch: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Zoom and rotation in one bilinear resampling; what lies outside is mirrored in."""
    scale, x, y, angle = places.unbind(1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    matrix = torch.stack([torch.stack([cos, -sin, x], dim=1), torch.stack([sin, cos, y], dim=1)], dim=1)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _cut_out(batch: torch.Tensor, centres: torch.Tensor, share: float) -> torch.Tensor:
    """A square of `share` of the side set to 0, wherever its centre falls (DeVries & Taylor 2017, arXiv 1708.04552)."""
    side = batch.shape[-1]
    length = max(1, round(share * side))
    starts = (centres * side).floor() - length // 2
    pixels = torch.arange(side, device=batch.device)
    columns, rows = ((pixels >= start) & (pixels < start + length) for start in starts.unsqueeze(2).unbind(1))
    inside = rows.unsqueeze(2) & columns.unsqueeze(1)
    return batch * (~inside).float().unsqueeze(1)
