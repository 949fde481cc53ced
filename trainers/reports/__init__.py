"""Pictures about a run, made from plain numbers: each function writes one PNG and returns its path."""

from trainers.reports.comparison import draw_comparison
from trainers.reports.confusion import draw_confusion
from trainers.reports.curves import draw_curves
from trainers.reports.functions import draw_fit, draw_regions
from trainers.reports.lr_curve import draw_lr_curve
from trainers.reports.predictions import draw_predictions
from trainers.reports.search import draw_search
from trainers.reports.tiles import draw_reconstructions, draw_tiles


def preload() -> None:
    """Imports what the pictures need, which takes a second."""
    import matplotlib.figure
