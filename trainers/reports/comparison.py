"""One metric of several runs."""

import math
from collections.abc import Sequence
from pathlib import Path

from trainers.reports.style import BLUE, QUIET, TEXT, as_text, is_percent, plain, save_figure, shorten


def draw_comparison(rows: Sequence[tuple[str, float]], metric: str, path: Path) -> Path:
    """Draw one bar for each run, from the top in the order given, with its value, written to `path` as a PNG.

    `rows` holds each run's name and its value of `metric`; a value that is not finite has no bar.

    Raises ValueError without any row.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    if not rows:
        raise ValueError("draw_comparison needs at least one run")
    names = [plain(shorten(name, 36)) for name, _ in rows]
    values = [value if math.isfinite(value) else 0.0 for _, value in rows]
    figure = Figure(figsize=(8, 1.1 + 0.42 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(rows)), values, color=BLUE, height=0.62)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    for place, ((_, value), length) in enumerate(zip(rows, values, strict=True)):
        text = as_text(metric, value) if math.isfinite(value) else "none"
        axes.annotate(
            text, (max(length, 0.0), place), (6, 0), textcoords="offset points", va="center", color=TEXT, fontsize=10
        )
    axes.margins(x=0.12)
    if is_percent(metric):
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title(plain(metric), loc="left", fontsize=11, color=TEXT)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(QUIET)
    axes.tick_params(axis="x", length=0, labelsize=9, labelcolor=QUIET)
    axes.tick_params(axis="y", length=0, labelsize=10, labelcolor=TEXT)
    return save_figure(figure, path)
