"""The loss over the learning rate, of a range test."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainers.reports.style import BLUE, QUIET, TEXT, VERMILION, bare, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_lr_curve(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None, path: Path
) -> Path:
    """Draw a range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks") to `path` as a PNG.

    All three sequences are of one length [steps], the rates above 0. The suggested rate is marked and written; without
    one the picture says so. Where the loss explodes it leaves the picture.

    Raises ValueError without any step, or if the lengths differ.
    """
    from matplotlib.figure import Figure

    if not len(rates) == len(losses) == len(smoothed) > 0:
        raise ValueError(f"draw_lr_curve needs equal lengths, got {len(rates)}, {len(losses)} and {len(smoothed)}")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.plot(rates, losses, color=BLUE, linewidth=0.8, alpha=0.4, label="loss of a step")
    axes.plot(rates, smoothed, color=BLUE, linewidth=2.2, label="smoothed")
    _look_below_the_explosion(axes, np.asarray(losses, float), np.asarray(smoothed, float))
    bare(axes)
    axes.set_xlabel("learning rate", fontsize=9, color=QUIET)
    axes.set_title("no suggestion" if suggestion is None else f"suggestion: {suggestion:.2g}", loc="left", color=TEXT)
    if suggestion is not None:
        axes.axvline(suggestion, color=VERMILION, linewidth=1.4, linestyle="--", label="suggestion")
    axes.legend(loc="lower left", frameon=False, fontsize=9, labelcolor=TEXT)
    return save_figure(figure, path)


def _look_below_the_explosion(axes: "Axes", losses: NDArray[np.float64], smoothed: NDArray[np.float64]) -> None:
    """Show the heights at which the smoothed loss begins and falls, with room for the noise about it."""
    known = np.isfinite(losses) & np.isfinite(smoothed)
    if not known.any():
        return
    curve = smoothed[known]
    low, usual = float(curve.min()), max(float(curve[0]), float(np.median(curve)))
    noise = 4 * float(np.median(np.abs(losses[known] - curve)))
    room = max(usual - low, 0.02 * abs(usual), 1e-9)
    axes.set_ylim(low - 0.2 * room - noise, usual + 0.6 * room + noise)
