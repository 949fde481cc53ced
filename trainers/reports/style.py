"""What the report pictures share: colours that the colour-blind can tell apart, short names, writing whole files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# From Okabe and Ito, "Color Universal Design" (2008).
BLUE, VERMILION = "#0072B2", "#D55E00"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
TEXT, QUIET, RULE = "#222222", "#666666", "#DDDDDD"
DPI = 120
_PERCENT = ("accuracy", "confident")  # metrics that are shares of the samples


def bare(axes: "Axes") -> None:
    """Leave only what carries information: no box, light rules, quiet ticks."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=9, labelcolor=QUIET)


def shorten(name: str, length: int) -> str:
    """`name` in at most `length` characters, the middle left out: ends often tell long names apart."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def plain(name: str) -> str:
    """`name` for matplotlib, which would read what is between two dollar signs as mathematics."""
    return name.replace("$", r"\$")


def is_percent(metric: str) -> bool:
    """Whether a metric is a share of the samples, by its name with or without a split before it."""
    return metric.endswith(_PERCENT)


def as_text(metric: str, value: float) -> str:
    """A metric's value as people read it."""
    return f"{value:.2%}" if is_percent(metric) else f"{value:.4g}"


def picture(image: NDArray[np.uint8]) -> "Image":
    """A Pillow picture of an image [H, W, 1 or 3].

    Raises ValueError for any other shape.
    """
    from PIL import Image

    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"an image must be [H, W, 1 or 3], got {image.shape}")
    return Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).convert("RGB")


def pixel_font(size: int) -> "FreeTypeFont":
    """matplotlib's font for Pillow: unlike Pillow's own it has ✓ and ✗."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def save(write: Callable[[Path], object], path: Path) -> Path:
    """Let `write` make a file aside and rename it to `path`, so that nobody reads half a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def save_canvas(canvas: "Image", path: Path) -> Path:
    """Write a Pillow picture as a PNG, whole or not at all."""
    return save(lambda aside: canvas.save(aside, "PNG", compress_level=3), path)


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write `figure` as a PNG, whole or not at all."""
    return save(lambda aside: figure.savefig(aside, format="png", dpi=DPI), path)
