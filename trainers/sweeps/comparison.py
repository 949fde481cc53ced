"""A sweep that compares the values of one option: what each is worth, in a table and in a picture."""

import csv
from collections.abc import Callable
from typing import Any

from trainers.display import aligned
from trainers.events import Tested
from trainers.experiment import Experiment
from trainers.reports import draw_comparison
from trainers.sweeps.sweep import SweepRun

TABLE, PICTURE = "comparison.csv", "comparison.png"


def is_comparison(experiment: Experiment) -> bool:
    """Whether every value of one option is trained to its end: a grid of it alone, and no early stopping."""
    search = experiment.search
    return len(search.space) == 1 and search.scheduler == "none" and all(one.grid for one in search.space.values())


def compare(sweep: SweepRun, test: Callable[[int], Tested]) -> None:
    """Prints and records the metric of each value's best weights on all splits.

    Args:
        test: what the best weights of a trial, by its number, are worth on the test split.
    """
    score, (option,) = sweep.experiment.score, sweep.experiment.search.space
    rows: list[dict[str, Any]] = [
        {
            option: trial.options[option],
            "train " + score: best.get(f"train/{score}"),
            "validation " + score: best[f"validation/{score}"],
            "test " + score: test(trial.number).metrics.get(score),
            "seconds": trial.seconds,
        }
        for trial in sorted(sweep.ranking, key=lambda trial: trial.number)
        if (best := trial.best)
    ]
    with (sweep.folder.path / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    cells = [[f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row.values()] for row in rows]
    for line in aligned([list(rows[0]), *cells]):
        sweep.display.result(line)
    key = f"test {score}" if all(row[f"test {score}"] is not None for row in rows) else f"validation {score}"
    draw_comparison([(str(row[option]), row[key]) for row in rows], key, sweep.folder.path / PICTURE)
    for name in (TABLE, PICTURE):
        sweep.parent.artifact(sweep.folder.path / name)
