"""What the trials of a sweep scored, over each option that was searched."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.reports.style import BLUE, QUIET, TEXT, VERMILION, as_text, bare, is_percent, plain, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 3  # panels in a row
_LONG_FALL = 100.0  # from here on, scores are drawn on a logarithmic axis
_TILTED_FROM = 22  # characters of a panel's category names together


def draw_search(
    options: Mapping[str, Sequence[Any]],
    scores: Sequence[float],
    stopped: Sequence[bool],
    metric: str,
    path: Path,
    *,
    log: Collection[str] = (),
    categories: Collection[str] = (),
    higher_is_better: bool = True,
) -> Path:
    """Draw a panel for each searched option: a trial's value of it against the trial's score; written as a PNG.

    Trials that were stopped early are hollow, the best is marked. Scores that are not finite are left out.

    Args:
        options: values by the option's path, one for each trial.
        scores: of the trials, values of `metric`.
        stopped: whether a trial was stopped early.
        log: options whose axis is logarithmic.
        categories: options whose values are names or choices, put side by side in their order.

    Raises ValueError without any option or any finite score, or if the lengths differ.
    """
    from matplotlib.figure import Figure

    count = len(scores)
    if not options or len(stopped) != count or any(len(values) != count for values in options.values()):
        raise ValueError("draw_search needs an option or more, and as many values, scores and states as trials")
    kept = [place for place in range(count) if math.isfinite(scores[place])]
    if not kept:
        raise ValueError("draw_search needs a trial with a score")
    heights = [scores[place] for place in kept]
    best = heights.index(max(heights) if higher_is_better else min(heights))
    across = min(len(options), _ACROSS)
    down = math.ceil(len(options) / across)
    figure = Figure(figsize=(max(5.2, 0.6 + 3.6 * across), 0.9 + 3.2 * down), layout="constrained")
    grid = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, (option, values) in zip(grid, options.items(), strict=False):
        found = [values[place] for place in kept]
        _draw_panel(axes, option, found, heights, [stopped[place] for place in kept], best,
                    log=option in log, categories=option in categories)  # fmt: skip
    for axes in grid[len(options) :]:
        axes.set_visible(False)
    _scale(grid[0], metric, heights)
    goal = "" if higher_is_better else ", less is better"
    figure.suptitle(
        f"best {plain(metric)}: {as_text(metric, heights[best])}{goal}", x=0.01, ha="left", fontsize=11, color=TEXT
    )
    _explain(figure, {stopped[place] for place in kept})
    return save_figure(figure, path)


def _draw_panel(
    axes: "Axes",
    option: str,
    values: Sequence[Any],
    scores: Sequence[float],
    stopped: Sequence[bool],
    best: int,
    *,
    log: bool,
    categories: bool,
) -> None:
    bare(axes)
    axes.set_title(plain(shorten(option, 36)), loc="left", fontsize=10, color=TEXT)
    if categories or not all(isinstance(value, int | float) for value in values):
        places: list[float] = _side_by_side(axes, values)
    else:
        places = [float(value) for value in values]
        _number_axis(axes, places, log=log)
    for hollow in (False, True):
        chosen = [number for number in range(len(scores)) if stopped[number] is hollow]
        axes.scatter(
            [places[number] for number in chosen], [scores[number] for number in chosen], s=34, linewidth=1.3,
            facecolor="none" if hollow else BLUE, edgecolor=BLUE, alpha=0.9, zorder=3,
        )  # fmt: skip
    axes.scatter([places[best]], [scores[best]], s=150, facecolor="none", edgecolor=VERMILION, linewidth=1.8, zorder=4)


def _side_by_side(axes: "Axes", values: Sequence[Any]) -> list[float]:
    """Gives each different value a place; returns where the trials' values are."""
    different = {str(value): value for value in values}
    try:
        names = sorted(different, key=lambda name: different[name])
    except TypeError:  # of several kinds
        names = sorted(different)
    labels = [plain(shorten(name, 18)) for name in names]
    tilted = sum(map(len, labels)) > _TILTED_FROM
    axes.set_xticks(range(len(names)), labels, rotation=30 if tilted else 0, ha="right" if tilted else "center")
    axes.set_xlim(-0.6, len(names) - 0.4)
    return [float(names.index(str(value))) for value in values]


def _number_axis(axes: "Axes", values: Sequence[float], *, log: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator

    axes.margins(x=0.08)
    if log:
        axes.set_xscale("log")
    if len(set(values)) == 1:
        axes.set_xticks(values[:1], [f"{values[0]:g}"])
        axes.minorticks_off()
        return
    if not log:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=all(value == int(value) for value in values)))
        return
    if max(values) < 30 * min(values):  # powers of ten alone would be one tick or none
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _scale(axes: "Axes", metric: str, scores: Sequence[float]) -> None:
    """The vertical axis, which all panels share."""
    from matplotlib.ticker import LogLocator, PercentFormatter

    axes.margins(y=0.1)
    if is_percent(metric):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif min(scores) > 0 and max(scores) > _LONG_FALL * min(scores):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator())
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.minorticks_off()


def _explain(figure: "Figure", stopped: set[bool]) -> None:
    from matplotlib.lines import Line2D

    def mark(label: str, **look: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker="o", label=label, **look)

    marks = [mark("finished", color=BLUE, markersize=6)] if False in stopped else []
    if True in stopped:
        marks.append(mark("stopped early", markerfacecolor="none", markeredgecolor=BLUE, markersize=6))
    marks.append(mark("best", markerfacecolor="none", markeredgecolor=VERMILION, markersize=10))
    figure.legend(handles=marks, loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=QUIET)
