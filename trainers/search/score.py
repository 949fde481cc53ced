"""The score by which trials are compared."""

from collections.abc import Sequence

from trainers.catalogue import HIGHER_IS_BETTER
from trainers.events import Row
from trainers.experiment import Experiment


def metric(experiment: Experiment) -> tuple[str, bool]:
    """The searched validation metric, and whether more of it is better."""
    search = experiment.search
    name = experiment.score if search.metric == "auto" else search.metric
    return name, name in HIGHER_IS_BETTER if search.mode == "auto" else search.mode == "max"


def score_of(experiment: Experiment, row: Row) -> float:
    """The searched metric of an epoch as a number of which more is better; it may be NaN."""
    name, higher = metric(experiment)
    value = row[f"validation/{name}"]
    return value if higher else -value


def best_row(history: Sequence[Row]) -> Row | None:
    """The epoch whose weights were kept as the best, which is what a trial is worth; None before there is one."""
    return next((row for row in reversed(history) if row["best"]), None)
