"""What a network has learnt of a small problem that fits on a page: regions of the plane, a curve."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.reports.style import BLUE, PALETTE, QUIET, TEXT, VERMILION, bare, plain, save_figure, shorten

_MESH = 300  # cells along each side of the plane
_MARKERS = "os^Dv"  # five, to the palette's eight: no two of the first 40 classes share both


def draw_regions(
    points: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    decide: Callable[[NDArray[np.float32]], NDArray[np.integer]],
    path: Path,
) -> Path:
    """Draw which class each place of the plane is given, with points on top, written to `path` as a PNG.

    `points` is [N, 2] with class numbers `labels` [N]; `decide` takes float32 [M, 2] and returns class numbers [M].
    Points that it gets wrong have a ring.

    Raises ValueError without points, or if they do not lie in a plane.
    """
    from matplotlib.colors import to_rgb
    from matplotlib.figure import Figure

    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise ValueError(f"draw_regions needs points [N, 2], got {points.shape}")
    low, high = points.min(axis=0), points.max(axis=0)
    middle, reach = (low + high) / 2, 0.55 * max(float((high - low).max()), 1e-6)
    sides = np.linspace(middle - reach, middle + reach, _MESH, dtype=np.float32)  # [mesh, 2]
    plane = np.stack(np.meshgrid(sides[:, 0], sides[:, 1]), axis=-1)
    colours = np.array([to_rgb(PALETTE[number % len(PALETTE)]) for number in range(len(classes))])
    regions = colours[decide(plane.reshape(-1, 2))].reshape(_MESH, _MESH, 3)

    figure = Figure(figsize=(7.2, 6.2), layout="constrained")
    axes = figure.add_subplot()
    edges = (float(sides[0, 0]), float(sides[-1, 0]), float(sides[0, 1]), float(sides[-1, 1]))
    axes.imshow(0.28 * regions + 0.72, origin="lower", extent=edges, interpolation="bilinear")
    for number, name in enumerate(classes):
        of_class = points[labels == number]
        marker = _MARKERS[number % len(_MARKERS)]
        style: dict[str, Any] = {"color": colours[number], "marker": marker, "edgecolors": "white", "linewidths": 0.5}
        axes.scatter(of_class[:, 0], of_class[:, 1], s=26, label=plain(shorten(name, 20)), **style)
    wrong = points[decide(points.astype(np.float32)) != labels]
    if len(wrong):
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": TEXT, "linewidths": 1.3}
        axes.scatter(wrong[:, 0], wrong[:, 1], s=90, label="wrong", **ring)
    axes.set_xlim(*edges[:2])
    axes.set_ylim(*edges[2:])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=QUIET)
    axes.set_title(f"{1 - len(wrong) / len(points):.2%} of {len(points):,} right", loc="left", fontsize=11, color=TEXT)
    if len(classes) <= 20:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, labelcolor=TEXT)
    return save_figure(figure, path)


def draw_fit(
    x: NDArray[np.floating],
    y: NDArray[np.floating],
    curve_x: NDArray[np.floating],
    curve_y: NDArray[np.floating],
    path: Path,
) -> Path:
    """Draw samples (x, y) [N] and the curve fitted to them [M], written to `path` as a PNG.

    Raises ValueError if there is no sample or no curve, or the lengths of a pair differ.
    """
    from matplotlib.figure import Figure

    if not (x.shape == y.shape == (x.size,) and curve_x.shape == curve_y.shape == (curve_x.size,)):
        raise ValueError(f"draw_fit needs pairs of rows, got {x.shape}, {y.shape}, {curve_x.shape}, {curve_y.shape}")
    if x.size == 0 or curve_x.size == 0:
        raise ValueError("draw_fit needs at least one sample and one point of the curve")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    size = float(np.clip(6000 / len(x), 6, 30))  # many points must not become a blot
    axes.scatter(x, y, s=size, color=BLUE, alpha=0.6, linewidths=0, label=f"{len(x):,} samples")
    order = np.argsort(curve_x, kind="stable")
    axes.plot(curve_x[order], curve_y[order], color=VERMILION, linewidth=2.2, label="fit")
    bare(axes)
    axes.set_xlabel("x", fontsize=9, color=QUIET)
    axes.set_ylabel("y", fontsize=9, color=QUIET, rotation=0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=2, frameon=False, labelcolor=TEXT)
    return save_figure(figure, path)
