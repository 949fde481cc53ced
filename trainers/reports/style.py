"""What the report pictures share: colours that the colour-blind can tell apart, short names, writing whole files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From Okabe and Ito, "Color Universal Design" (2008).
BLUE, VERMILION = "#0072B2", "#D55E00"
TEXT, QUIET, RULE = "#222222", "#666666", "#DDDDDD"
DPI = 120


def bare(axes: "Axes") -> None:
    """Leave only what carries information: no box, light rules, quiet ticks."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=9, labelcolor=QUIET)


def shorten(name: str, length: int) -> str:
    """`name` in at most `length` characters, the middle left out: ends often tell long names apart."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


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


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write `figure` as a PNG, whole or not at all."""
    return save(lambda aside: figure.savefig(aside, format="png", dpi=DPI), path)
