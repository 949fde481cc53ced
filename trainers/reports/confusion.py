"""The confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.reports.style import DPI, QUIET, TEXT, plain, save_figure, shorten

_NUMBERED = 12  # up to so many classes the cells hold numbers


def draw_confusion(matrix: NDArray[np.integer], classes: Sequence[str], path: Path) -> Path:
    """Draw who was taken for whom, written to `path` as a PNG.

    `matrix` is int [C, C], rows the true and columns the predicted classes. Colour is the share of the row. Up to 12
    classes each cell holds its count and share of the row; up to about 120 the names can still be read.

    Raises ValueError if `matrix` is not square with one row per class.
    """
    from matplotlib.figure import Figure

    count = len(classes)
    if count == 0 or matrix.shape != (count, count):
        raise ValueError(f"draw_confusion needs a {count}×{count} matrix for {count} classes, got {matrix.shape}")
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    numbered = count <= _NUMBERED
    inches = max(2.6, 0.8 * count) if numbered else max(7.0, 0.125 * count)
    font = 10.0 if numbered else max(5.5, min(10.0, 0.7 * 72 * inches / count))
    names = [plain(shorten(name, 24 if count <= 60 else 16)) for name in classes]
    margin = 0.7 + max(map(len, names)) * font * 0.62 / 72  # inches left and below, for the names
    upright = max(map(len, names)) * font * 0.62 / 72 < 0.9 * inches / count
    below = 0.75 if upright else margin

    width, height = margin + inches + (0.3 if numbered else 1.0), below + inches + 0.6
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((margin / width, below / height, inches / width, inches / height))
    # Rare mistakes among many classes would not be seen on a linear scale: the square root lifts them.
    picture = axes.imshow(share if numbered else np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), names, fontsize=font, rotation=0 if upright else 90)
    axes.set_yticks(range(count), names, fontsize=font)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for rule in (axes.hlines, axes.vlines):
        rule(np.arange(count - 1) + 0.5, -0.5, count - 0.5, color="white", linewidth=2 if numbered else 0.4)
    axes.set_xlabel("predicted", color=QUIET)
    axes.set_ylabel("true", color=QUIET)
    total = int(matrix.sum())
    figure.text(
        margin / width,
        1 - 0.35 / height,
        f"{np.trace(matrix) / max(total, 1):.2%} of {total:,} right",
        color=TEXT,
        size=12,
    )
    if numbered:
        for (row, column), number in np.ndenumerate(matrix):
            colour = "white" if share[row, column] > 0.55 else (TEXT if number else "#BBBBBB")
            axes.text(column, row - 0.04, f"{number:,}", ha="center", va="bottom", color=colour, fontsize=11)
            axes.text(column, row + 0.06, f"{share[row, column]:.1%}", ha="center", va="top", color=colour, fontsize=8)
    else:
        bar = figure.add_axes(((margin + inches + 0.15) / width, below / height, 0.15 / width, inches / height))
        ticks = [0, 0.01, 0.05, 0.2, 0.5, 1]
        scale = figure.colorbar(picture, cax=bar, ticks=np.sqrt(ticks))
        scale.set_ticklabels([f"{tick:.0%}" for tick in ticks], fontsize=8)
        scale.outline.set_visible(False)
        bar.tick_params(length=0)
    return save_figure(figure, path)
