"""Pictures about a run, made from plain numbers: each function writes one PNG and returns its path."""

from trainers.reports.confusion import draw_confusion
from trainers.reports.curves import draw_curves
from trainers.reports.grid import draw_grid

__all__ = ["draw_confusion", "draw_curves", "draw_grid"]
