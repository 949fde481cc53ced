"""Learning curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainers.reports.style import BLUE, QUIET, TEXT, VERMILION, as_text, bare, is_percent, plain, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, float]]
_MOST = 4  # large panels
_FIRST = ("loss", "accuracy", "mse", "frechet", "diversity", "confident")  # their order; then whatever else there is
_SMALL = {"lr": "learning rate", "samples_per_second": "samples per second"}
_LOG_FROM = 30  # a Fréchet distance that falls by so much or more is drawn on a logarithmic axis


class _Line(NamedTuple):
    key: str
    name: str
    colour: str


# A GAN's two losses show something only beside each other.
_GAN = (_Line("train/generator_loss", "generator", BLUE), _Line("train/discriminator_loss", "discriminator", VERMILION))


def draw_curves(history: History, path: Path) -> Path:
    """What was measured by epoch, the learning rate and the speed, written to `path` as a PNG.

    A row of `history` holds `epoch` and any of `train/X` and `validation/X` for any metric X, `lr`,
    `samples_per_second`, `best` (true where the best weights come from; the last such row counts). There is a panel
    for each of the first four metrics; a GAN's two losses share one, and a loss that is the mean squared error is
    drawn once, as `mse`. What a row lacks, or is not finite, is a gap in its line.

    Raises ValueError without any row, or if no row holds anything to draw.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    if not history:
        raise ValueError("draw_curves needs at least one epoch")
    panels = _panels(history)
    large, small = list(panels), [key for key in _SMALL if _known(history, key)]
    wide = 2 if len(large) == _MOST else max(1, len(large))
    rows = [row for row in (large[:wide], large[wide:], small) if row]
    if not rows:
        raise ValueError("draw_curves found nothing to draw")
    heights = [1.4 if row is small else 3.8 for row in rows]
    figure = Figure(figsize=(13 if wide == 3 else 10, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(rows), 6, height_ratios=heights)
    epochs = [row["epoch"] for row in history]
    edge = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
    for down, row in enumerate(rows):
        span = 6 // len(row)
        for across, title in enumerate(row):
            axes = figure.add_subplot(grid[down, across * span : (across + 1) * span])
            axes.set_xlim(epochs[0] - edge, epochs[-1] + edge)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
            bare(axes)
            if row is small:
                _draw_small(axes, history, title)
            else:
                _draw_large(axes, history, title, panels[title])
            if row is rows[-1]:
                axes.set_xlabel("epoch", fontsize=9, color=QUIET)
    return save_figure(figure, path)


def _panels(history: History) -> dict[str, list[_Line]]:
    """The lines of each large panel, by its title, in order."""
    panels = {"loss": [line for line in _GAN if _known(history, line.key)]}
    shared = [line.key for line in _GAN]
    for metric in dict.fromkeys(key.partition("/")[2] for row in history for key in row if key not in shared):
        lines = (_Line(f"train/{metric}", "train", BLUE), _Line(f"validation/{metric}", "validation", VERMILION))
        panels.setdefault(metric, []).extend(line for line in lines if _known(history, line.key))
    both = ("train", "validation")
    if panels.get("mse") and all(row.get(f"{each}/loss") == row.get(f"{each}/mse") for row in history for each in both):
        del panels["loss"]
    found = [title for title, lines in panels.items() if lines]
    found.sort(key=lambda title: _FIRST.index(title) if title in _FIRST else len(_FIRST))
    return {title: panels[title] for title in found[:_MOST]}


def _series(history: History, key: str) -> tuple[list[float], list[float]]:
    """Epochs and values; NaN where there is none, which breaks the line there."""
    values = [float(row.get(key, math.nan)) for row in history]
    return [row["epoch"] for row in history], [value if math.isfinite(value) else math.nan for value in values]


def _known(history: History, key: str) -> list[tuple[float, float]]:
    """Epochs and values of the rows that have a finite one."""
    return [(x, y) for x, y in zip(*_series(history, key), strict=True) if not math.isnan(y)]


def _draw_large(axes: "Axes", history: History, metric: str, lines: list[_Line]) -> None:
    """Some lines in one picture, each named at its end, with the best epoch marked."""
    axes.set_title(plain(metric), loc="left", fontsize=11, color=TEXT)
    for key, _, colour in lines:
        epochs, values = _series(history, key)
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if len(epochs) < 16 else "", markersize=4)
    _scale(axes, metric, [y for line in lines for _, y in _known(history, line.key)])
    _name_ends(axes, [(_known(history, line.key)[-1], line) for line in lines])
    best = next((row for row in reversed(history) if row.get("best")), None)
    value = None if best is None else best.get(f"validation/{metric}")
    if best is not None and value is not None and math.isfinite(value):
        _mark_best(axes, best["epoch"], value, as_text(metric, value))


def _scale(axes: "Axes", metric: str, values: list[float]) -> None:
    """The vertical axis: from 0 for what is better the lower, percent for shares, logarithmic for a long fall."""
    from matplotlib.ticker import LogLocator, PercentFormatter

    axes.margins(y=0.12)
    if is_percent(metric):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif metric == "diversity":
        axes.set_ylim(-0.03, 1.08)
    elif metric == "frechet" and min(values) > 0 and max(values) >= _LOG_FROM * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if min(values) < 0 else 0.0)


def _name_ends(axes: "Axes", ends: list[tuple[tuple[float, float], _Line]]) -> None:
    """Write each line's name right of its last point, moved apart where two would overlap."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    to_height = axes.transScale + axes.transLimits  # from data to shares of the axes, also where they are logarithmic
    ends.sort(key=lambda end: end[0][1])
    heights = [float(to_height.transform(end)[1]) for end, _ in ends]
    least = 0.07  # the height of a line of text
    if len(heights) == 2 and heights[1] - heights[0] < least:
        middle = sum(heights) / 2
        heights = [middle - least / 2, middle + least / 2]
    for ((x, _), line), height in zip(ends, heights, strict=True):
        axes.annotate(
            line.name,
            (x, height),
            (8, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            va="center",
            color=line.colour,
            annotation_clip=False,
        )


def _mark_best(axes: "Axes", epoch: float, value: float, text: str) -> None:
    axes.axvline(epoch, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
    axes.plot([epoch], [value], "o", markersize=11, markerfacecolor="none", markeredgecolor=TEXT, markeredgewidth=1.4)
    to_share = axes.transScale + axes.transLimits
    across, up = to_share.transform((epoch, value))
    late, upper = across >= 0.5, up >= 0.5  # the text goes where curves seldom are
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


def _draw_small(axes: "Axes", history: History, key: str) -> None:
    from matplotlib.ticker import FuncFormatter

    epochs, values = _series(history, key)
    axes.set_title(_SMALL[key], loc="left", fontsize=9, color=QUIET)
    axes.plot(epochs, values, color=QUIET, linewidth=1.2, marker="o" if len(epochs) < 16 else "", markersize=3)
    top = max(value for value in values if not math.isnan(value))
    axes.set_ylim(0, 1.15 * top if top > 0 else 1)
    axes.locator_params(axis="y", nbins=3)
    if key == "samples_per_second":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
