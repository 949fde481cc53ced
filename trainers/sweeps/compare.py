"""A run for each of several values of one option, and a table of what came out: `compare` in an experiment."""

import csv
from pathlib import Path

from trainers import config, tracking
from trainers.display import Display
from trainers.experiment import Experiment
from trainers.reports import draw_comparison
from trainers.runs import plan
from trainers.runs.folder import RunFolder, new_name
from trainers.runs.launch import interruptible, ray
from trainers.runs.record import SEND_SECONDS, open_recorder
from trainers.runs.run import Run
from trainers.runs.train import do, preload_end
from trainers.storage import check as check_storage
from trainers.summary import Summary
from trainers.tracking import Recorder, Status


def compare(experiment: Experiment, display: Display, summary: Summary) -> None:
    """Trains once for each value, one after the other, under an MLflow run that is the parent of theirs.

    Raises:
        TrainersError: a run failed; those before it are finished and recorded.
    """
    ((option, values),) = experiment.compare.items()
    runs = [(str(value), config.change(experiment, {"compare": {}, option: value}, "compare")) for value in values]
    storage = check_storage(experiment.storage)
    plan.check_path(experiment)
    tracking.check_lasting(experiment)
    name = f"{new_name(experiment)}-compare"
    home = RunFolder(name, experiment.storage, storage)
    parent = open_recorder(home, experiment, {}, system_metrics=False)
    rows: list[dict[str, object]] = []
    status: Status = "FAILED"
    try:
        with interruptible(), ray(experiment) as runtime:
            for value, options in runs:
                display.result(f"--- {option} {value}")
                one = Summary()
                run = Run(RunFolder.new(options, storage), options, display, one, recording=preload_end)
                run.record.tags["mlflow.parentRunId"] = parent.run_id
                do(run, runtime, last=False)
                rows.append({option: value, **_row(one, experiment.score)})
        status = "FINISHED"
    finally:
        if rows:
            _table(rows, option, experiment.score, home.path, parent, display)
        parent.finish(status, wait_s=SEND_SECONDS)
        home.mirror.settle()
    summary.run_id, summary.status = parent.run_id, status


def _row(summary: Summary, score: str) -> dict[str, object]:
    numbers = {f"{split} {score}": summary.metrics[split].get(score) for split in ("train", "validation", "test")}
    return {**numbers, "seconds": summary.seconds["train"], "model": f"{summary.model.name}/{summary.model.version}"}


def _table(
    rows: list[dict[str, object]], option: str, score: str, folder: Path, parent: Recorder, display: Display
) -> None:
    """Prints the table and records it, as text and as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "comparison.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    parent.artifact(table)
    cells = [list(rows[0])] + [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        display.result("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    key = f"test {score}" if all(isinstance(row[f"test {score}"], float) for row in rows) else f"validation {score}"
    bars = [(str(row[option]), float(str(row[key]))) for row in rows]
    parent.artifact(draw_comparison(bars, key, folder / "comparison.png"))
    display.result(f"comparison  {table}")
