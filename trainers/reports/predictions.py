"""Pictures with what was predicted for them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.reports.style import QUIET, TEXT, VERMILION, picture, pixel_font, save_canvas, shorten

_TILE, _GAP, _CAPTION = 144, 16, 40  # pixels: side of a picture, space between two, height of the text below one


def draw_predictions(
    images: NDArray[np.uint8],
    truth: Sequence[str],
    predicted: Sequence[str],
    probability: Sequence[float],
    path: Path,
    columns: int = 8,
) -> Path:
    """Draw pictures in rows, each with its predicted class and that class's probability, written to `path` as a PNG.

    `images` is uint8 [N, H, W, 1 or 3], drawn in the order given; `probability` is from 0 to 1. A wrong one has a thick
    frame, a cross and the true class below: colour is never the only sign.

    Raises ValueError if there are no images, or the lists' lengths differ.
    """
    # Pillow places pixels as they are, ten times faster than matplotlib.
    from PIL import Image, ImageDraw, ImageOps

    if len(images) == 0:
        raise ValueError("draw_predictions needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = (columns * (_TILE + _GAP) + _GAP, rows * (_TILE + _CAPTION + _GAP) + _GAP)
    canvas = Image.new("RGB", size, "white")
    on, font = ImageDraw.Draw(canvas), pixel_font(13)
    for number, (image, is_, said, chance) in enumerate(zip(images, truth, predicted, probability, strict=True)):
        x = _GAP + number % columns * (_TILE + _GAP)
        y = _GAP + number // columns * (_TILE + _CAPTION + _GAP)
        tile = ImageOps.pad(picture(image), (_TILE, _TILE), Image.Resampling.BICUBIC, color=(236, 236, 236))
        canvas.paste(tile, (x, y))
        right = is_ == said
        caption = f"{'✓' if right else '✗'} {shorten(said, 12)} {chance:.0%}"
        on.text((x, y + _TILE + 5), caption, TEXT if right else VERMILION, font)
        if not right:
            on.rectangle((x - 4, y - 4, x + _TILE + 3, y + _TILE + 3), outline=VERMILION, width=4)
            on.text((x + 15, y + _TILE + 22), f"is {shorten(is_, 13)}", QUIET, font)
    return save_canvas(canvas, path)
