"""The end of a sweep: its table and picture, and its best trial tested, registered and written as an experiment."""

import csv
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from trainers import config
from trainers.display import Display, aligned
from trainers.errors import RequestError, WorkError
from trainers.events import Tested
from trainers.experiment import Experiment
from trainers.origin import command
from trainers.reports import draw_search
from trainers.runs.finish import checkpoints_of, finish, say_results, summarise
from trainers.runs.folder import near
from trainers.runs.run import Run
from trainers.search import metric
from trainers.storage import submitted
from trainers.summary import RegisteredModel, Summary
from trainers.sweeps.comparison import compare, is_comparison
from trainers.sweeps.sweep import SweepRun
from trainers.sweeps.trials import Trial
from trainers.sweeps.words import causes, epochs_in_words, in_words, score_in_words, written
from trainers.tasks import load_predictor
from trainers.trained.measure import measure

ROWS = 10  # of the printed table
TABLE, PICTURE, BEST = "trials.csv", "trials.png", "best.yaml"
HERE = ("search.", "storage.", "tracking.", "log.")  # options that make no other weights


def end(sweep: SweepRun, summary: Summary) -> None:
    """Says and records what came out; the best trial is tested and registered, unless an earlier end has done that.

    Raises:
        WorkError: all trials have failed, or none came to the end of an epoch.
        RequestError: MLflow is away.
    """
    sweep.record_rest()
    ranking = sweep.ranking
    _write_table(sweep, ranking)
    if not ranking:
        raise _nothing_came_out(sweep)
    best, display = ranking[0], sweep.display
    test = cache(lambda number: _test(sweep, sweep.trials[number]))
    if is_comparison(sweep.experiment):
        compare(sweep, test)
    else:
        _print_table(ranking, sweep.experiment, display)
    _draw(sweep, ranking)
    run = sweep.run_of(best, display, summary)
    (sweep.folder.path / BEST).write_text(config.dump_yaml(run.experiment))
    for name in (TABLE, PICTURE, BEST):
        sweep.parent.artifact(sweep.folder.path / name)
    display.result(f"best        #{best.number}  {written(best.options)}")
    _register(sweep, best, run, test)
    display.result(f"table       {sweep.folder.shown(TABLE)}")
    _record_best(sweep, best, summary)
    display.result(f"train       {_again(sweep, run.experiment)}")


def _again(sweep: SweepRun, best: Experiment) -> str:
    """The command that trains as the best trial did: of a job that was sent here by flags, since its files are here.

    They change the experiment beside the job, where --on puts it; a job that was submitted otherwise may have none.
    """
    if not submitted():
        return command("--config", near(sweep.folder.path / BEST))
    try:
        usual = config.flatten(config.load(Path(sys.argv[0]).with_suffix(".yaml"), {}).model_dump(mode="json"))
    except RequestError:
        return f"with {sweep.folder.shown(BEST)} as --config"
    flags = {
        path: value if isinstance(value, str) else json.dumps(value)
        for path, value in config.flatten(best.model_dump(mode="json")).items()
        if value != usual[path] and not path.startswith(HERE)
    }
    return command("train", *(f"--{path.replace('_', '-')} {shlex.quote(value)}" for path, value in flags.items()))


def _register(sweep: SweepRun, best: Trial, run: Run, test: Callable[[int], Tested]) -> None:
    """Tests the best trial's weights and registers them in its own MLflow run, or tells of when that was done."""
    row, summary = best.best, run.summary
    assert row is not None
    epoch = int(row["epoch"])
    became = sweep.trials.registered.get(best.number)
    if became is not None:
        run.tested = Tested(became["test"], np.zeros((0, 0)), epoch, "", 0.0)
        summarise(run)
        summary.model, run.verdict = RegisteredModel(**became["model"]), became["verdict"]
        summary.run_id, summary.status = run.folder.run_id, "FINISHED"
        say_results(run)
        return
    with summary.phase("evaluate"):
        run.tested = test(best.number)
    try:
        finish(run, sweep.ready.data(run.experiment))
    except BaseException:
        summary.status = "FINISHED"  # the trial is, whatever has become of its model
        run.record.close()
        raise
    sweep.trials.note_registered(
        best, {"model": asdict(summary.model), "verdict": run.verdict, "test": summary.metrics["test"]}
    )
    sweep.folder.mirror.push_soon()


def _test(sweep: SweepRun, trial: Trial) -> Tested:
    """What a trial's best weights are worth on the test split."""
    assert trial.best is not None
    run, epoch = sweep.run_of(trial), int(trial.best["epoch"])
    data, checkpoint = sweep.ready.data(run.experiment), checkpoints_of(run).fetch(epoch)
    if not len(data.splits.test):
        return Tested({}, np.zeros((0, 0)), epoch, str(checkpoint), 0.0)
    predictor = load_predictor(checkpoint)
    metrics, answers = measure(predictor, data.pack, data.splits.test, run.experiment, run.classifier)
    return Tested(metrics, answers, epoch, str(checkpoint), 0.0)


def _record_best(sweep: SweepRun, best: Trial, summary: Summary) -> None:
    sweep.parent.tag({"best.trial": str(best.number), "best.run_id": summary.run_id or ""})
    step = len(sweep.trials)
    sweep.parent.log({f"test/{name}": value for name, value in summary.metrics["test"].items()}, step=step)
    summary.sweep = {
        "name": sweep.folder.name,
        "trials": len(sweep.trials),
        **sweep.trials.counts(),
        "best": best.options,
    }


def _nothing_came_out(sweep: SweepRun) -> WorkError:
    """Tells why trials have failed; returns what to raise."""
    failed = sweep.trials.counts()["failed"]
    if not failed:
        return WorkError("search.minutes: no trial came to the end of its first epoch; give it more time")
    sweep.display.result("failed because")
    for line in causes(trial for trial in sweep.trials if trial.state == "failed"):
        sweep.display.result(line)
    which = f"all {failed} trials" if failed == len(sweep.trials) else f"{failed} of {len(sweep.trials)} trials"
    return WorkError(
        f"{which} of {sweep.folder.name} failed, and no other came to the end of an epoch (the causes are above)"
    )


def _row(sweep: SweepRun, trial: Trial) -> dict[str, Any]:
    """A trial's line of the table."""
    last = trial.history[-1] if trial.history else {}
    name, _ = metric(sweep.experiment)
    micro = last.get("micro_batch")
    return {
        "trial": trial.number,
        **trial.options,
        "score": "" if trial.best is None else trial.best[f"validation/{name}"],
        "best_epoch": "" if trial.best is None else int(trial.best["epoch"]),
        "epochs": len(trial.history),
        "state": trial.state,
        "global_batch": trial.options.get("training.batch_size", sweep.experiment.training.batch_size),
        "micro_batch": "" if micro is None else int(micro),
        "samples_per_second": round(trial.rate, 1),
        "seconds": round(trial.seconds, 3),
        "run_id": sweep.folder_of(trial).run_id or "",
        "cause": trial.cause,
    }


def _write_table(sweep: SweepRun, ranking: list[Trial]) -> None:
    """All trials, the best first, those without a score last."""
    placed = {trial.number for trial in ranking}
    rows = [_row(sweep, trial) for trial in [*ranking, *(t for t in sweep.trials if t.number not in placed)]]
    if not rows:
        return
    with (sweep.folder.path / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _print_table(ranking: list[Trial], experiment: Experiment, display: Display) -> None:
    shown = ranking[:ROWS]
    options = list(shown[0].options)
    lines = [["trial", *options, metric(experiment)[0], "epochs", "micro-batch", "samples/s"]]
    for trial in shown:
        values = [in_words(trial.options.get(option, "")) for option in options]
        score = score_in_words(trial, experiment).rpartition(" ")[2]
        micro = f"{trial.history[-1].get('micro_batch', 0):.0f}"
        lines.append([f"#{trial.number}", *values, score, epochs_in_words(trial), micro, f"{trial.rate:,.0f}"])
    for line in aligned(lines):
        display.result(line)
    if len(ranking) > ROWS:
        display.result(f"and {len(ranking) - ROWS} more")


def _draw(sweep: SweepRun, ranking: list[Trial]) -> None:
    name, higher_is_better = metric(sweep.experiment)
    space = sweep.experiment.search.space
    draw_search(
        {path: [trial.options[path] for trial in ranking] for path in space},
        [trial.best[f"validation/{name}"] for trial in ranking if trial.best],
        [trial.state == "stopped" for trial in ranking],
        name,
        sweep.folder.path / PICTURE,
        log={path for path, values in space.items() if values.loguniform},
        categories={path for path, values in space.items() if values.choice or values.grid},
        higher_is_better=higher_is_better,
    )
