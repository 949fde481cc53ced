"""Plain pictures side by side: a batch, generated samples, images above their reconstructions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainers.reports.style import QUIET, TEXT, picture, pixel_font, save_canvas, shorten

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE, _GAP, _MARGIN = 144, 6, 16  # pixels: longest side of a tile, space between two, space around all
_TITLE, _CAPTION = 30, 26  # pixels: height of the title, height of a label


def draw_tiles(
    images: NDArray[np.uint8],
    path: Path,
    columns: int = 8,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Path:
    """Draw pictures in rows, in the order given, written to `path` as a PNG.

    `images` is uint8 [N, H, W, 1 or 3]. Small ones are enlarged by a whole factor, so that each pixel shows; `labels`
    are written below them.

    Raises ValueError if there are no images, or not one label for each.
    """
    from PIL import Image, ImageDraw

    tiles = [_tile(image) for image in images]
    if not tiles:
        raise ValueError("draw_tiles needs at least one image")
    if labels is not None and len(labels) != len(tiles):
        raise ValueError(f"draw_tiles got {len(labels)} labels for {len(tiles)} images")
    (width, height), columns = tiles[0].size, min(columns, len(tiles))
    step_x, step_y = width + _GAP, height + (_GAP if labels is None else _CAPTION)
    top = _MARGIN + (0 if title is None else _TITLE)
    # What the last tile has below and beside it is part of the margin.
    size = (2 * _MARGIN + columns * step_x - _GAP, top + -(-len(tiles) // columns) * step_y - _GAP + _MARGIN)
    canvas = Image.new("RGB", size, "white")
    on = ImageDraw.Draw(canvas)
    for number, tile in enumerate(tiles):
        x, y = _MARGIN + number % columns * step_x, top + number // columns * step_y
        canvas.paste(tile, (x, y))
        if labels is not None:
            on.text((x, y + height + 3), shorten(labels[number], width // 8), TEXT, pixel_font(13))
    if title is not None:
        on.text((_MARGIN, _MARGIN - 4), shorten(title, max(3, (size[0] - 2 * _MARGIN) // 9)), TEXT, pixel_font(15))
    return save_canvas(canvas, path)


def draw_reconstructions(
    originals: NDArray[np.uint8], reconstructions: NDArray[np.uint8], path: Path, columns: int = 8
) -> Path:
    """Draw pairs of rows, images above what an autoencoder made of them, written to `path` as a PNG.

    Both are uint8 [N, H, W, 1 or 3].

    Raises ValueError if there are no images, or their shapes differ.
    """
    from PIL import Image, ImageDraw

    if len(originals) == 0 or originals.shape != reconstructions.shape:
        raise ValueError(
            f"draw_reconstructions needs pairs of images, got {originals.shape} and {reconstructions.shape}"
        )
    columns = min(columns, len(originals))
    width, height = _tile(originals[0]).size
    left = 96  # pixels, for the rows' names
    pair = 2 * height + _GAP + 2 * _MARGIN
    size = (left + columns * (width + _GAP) - _GAP + _MARGIN, -(-len(originals) // columns) * pair)
    canvas = Image.new("RGB", size, "white")
    on = ImageDraw.Draw(canvas)
    for row, (name, images) in enumerate((("original", originals), ("rebuilt", reconstructions))):
        for number, image in enumerate(images):
            y = number // columns * pair + _MARGIN + row * (height + _GAP)
            canvas.paste(_tile(image), (left + number % columns * (width + _GAP), y))
            if number % columns == 0:
                on.text((left - 10, y + height / 2), name, QUIET, pixel_font(13), anchor="rm")
    return save_canvas(canvas, path)


def _tile(image: NDArray[np.uint8]) -> "Image":
    """Enlarged by the greatest whole factor that fits a tile, or reduced to fit it."""
    from PIL import Image, ImageOps

    tile = picture(image)
    if max(tile.size) > _SIDE:
        return ImageOps.contain(tile, (_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return ImageOps.scale(tile, _SIDE // max(tile.size), Image.Resampling.NEAREST)
