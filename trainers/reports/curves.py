"""Learning curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.reports.style import BLUE, QUIET, TEXT, VERMILION, bare, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, float]]
_LINES = (("train", BLUE), ("validation", VERMILION))


def draw_curves(history: History, path: Path) -> Path:
    """Loss, accuracy and learning rate by epoch, written to `path` as a PNG.

    A row of `history` holds `epoch` and any of `train/loss`, `validation/loss`, `train/accuracy`,
    `validation/accuracy` (0 to 1), `lr`, `samples_per_second`, `best` (true where the best weights come from; the last
    such row counts). What a row lacks, or is not finite, is a gap in its line.

    Raises ValueError without any row.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    if not history:
        raise ValueError("draw_curves needs at least one epoch")
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    loss, accuracy = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    rate, speed = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    _compare(loss, history, "loss", "{:.4g}")
    _compare(accuracy, history, "accuracy", "{:.2%}")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
    _small(rate, history, "lr", "learning rate")
    _small(speed, history, "samples_per_second", "samples per second")
    speed.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    epochs = [row["epoch"] for row in history]
    edge = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
    for axes in (loss, accuracy, rate, speed):
        bare(axes)
        axes.set_xlim(epochs[0] - edge, epochs[-1] + edge)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    for axes in (rate, speed):
        axes.set_xlabel("epoch", fontsize=9, color=QUIET)
    return save_figure(figure, path)


def _series(history: History, key: str) -> tuple[list[float], list[float]]:
    """Epochs and values; NaN where there is none, which breaks the line there."""
    values = [float(row.get(key, math.nan)) for row in history]
    return [row["epoch"] for row in history], [value if math.isfinite(value) else math.nan for value in values]


def _compare(axes: "Axes", history: History, metric: str, form: str) -> None:
    """Train and validation in one picture, each named at its line's end, with the best epoch marked."""
    axes.set_title(metric, loc="left", fontsize=11, color=TEXT)
    ends = []
    for split, colour in _LINES:
        epochs, values = _series(history, f"{split}/{metric}")
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if len(epochs) < 16 else "", markersize=4)
        known = [(x, y) for x, y in zip(epochs, values, strict=True) if not math.isnan(y)]
        if known:
            ends.append((known[-1], split, colour))
    if not ends:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=QUIET)
        return
    axes.margins(y=0.12)
    if metric == "loss":
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _name_ends(axes, ends)
    best = next((row for row in reversed(history) if row.get("best")), None)
    value = None if best is None else best.get(f"validation/{metric}")
    if best is not None and value is not None and math.isfinite(value):
        _mark_best(axes, best["epoch"], value, form.format(value))


def _name_ends(axes: "Axes", ends: list[tuple[tuple[float, float], str, str]]) -> None:
    """Write each line's name right of its last point, moved apart where two would overlap."""
    low, high = axes.get_ylim()
    least = 0.07 * (high - low)  # the height of a line of text
    ends.sort(key=lambda end: end[0][1])
    heights = [y for (_, y), _, _ in ends]
    if len(heights) == 2 and heights[1] - heights[0] < least:
        middle = sum(heights) / 2
        heights = [middle - least / 2, middle + least / 2]
    axes.set_ylim(low, high)
    for ((x, _), name, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            name, (x, height), (8, 0), textcoords="offset points", va="center", color=colour, annotation_clip=False
        )


def _mark_best(axes: "Axes", epoch: float, value: float, text: str) -> None:
    axes.axvline(epoch, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
    axes.plot([epoch], [value], "o", markersize=11, markerfacecolor="none", markeredgecolor=TEXT, markeredgewidth=1.4)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    late, upper = epoch >= (left + right) / 2, value >= (low + high) / 2  # the text goes where curves seldom are
    axes.annotate(
        f"best: {text}\nepoch {epoch:g}",
        (epoch, 0.03 if upper else 0.97),
        (-8 if late else 8, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if late else "left",
        va="bottom" if upper else "top",
        fontsize=9,
        color=TEXT,
    )


def _small(axes: "Axes", history: History, key: str, title: str) -> None:
    epochs, values = _series(history, key)
    axes.set_title(title, loc="left", fontsize=9, color=QUIET)
    axes.plot(epochs, values, color=QUIET, linewidth=1.2, marker="o" if len(epochs) < 16 else "", markersize=3)
    top = max((value for value in values if not math.isnan(value)), default=0.0)
    axes.set_ylim(0, 1.15 * top if top > 0 else 1)
    axes.locator_params(axis="y", nbins=3)
