"""Pictures about a run, made from plain numbers: each function writes one PNG and returns its path."""

from trainers.reports.confusion import draw_confusion
from trainers.reports.curves import draw_curves
from trainers.reports.grid import draw_grid

__all__ = ["draw_confusion", "draw_curves", "draw_grid", "preload"]


def preload() -> None:
    """Imports what the pictures need, which takes a second."""
    import matplotlib.figure  # noqa: F401
