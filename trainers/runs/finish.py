"""The end of a run: its metrics, its registered model, its pictures, and what can be done next."""

import logging
import tempfile
from pathlib import Path

from trainers import tracking
from trainers.catalogue import HIGHER_IS_BETTER
from trainers.data import Prepared
from trainers.engine import CheckpointStore
from trainers.errors import RequestError
from trainers.origin import command, origin
from trainers.reports import draw_curves
from trainers.runs.run import Run
from trainers.storage import submitted
from trainers.tasks import Classifier, copy_bundle, load_predictor
from trainers.tracking import Score
from trainers.trained.measure import data_for, measure
from trainers.trained.pictures import draw_results

log = logging.getLogger("trainers")


def finish(run: Run, data: Prepared) -> None:
    """Records what the best weights are worth, registers them, draws, and says what came out."""
    assert run.tested is not None
    summary, tested = run.summary, run.tested
    summarise(run)
    # It may have been written on another machine.
    checkpoint = checkpoints_of(run).fetch(tested.best_epoch)
    run.record.recorder.log({f"test/{name}": value for name, value in tested.metrics.items()}, step=tested.best_epoch)
    _warn_of_collapse(run)
    with summary.phase("evaluate"):
        pictures = run.folder.path / "pictures"
        pictures.mkdir(exist_ok=True)
        drawn = [draw_curves(run.history, pictures / "curves.png")]
        if len(data.splits.test):
            drawn += draw_results(
                lambda: load_predictor(checkpoint), data.pack, data.splits.test, tested.answers, pictures
            )
        for picture in drawn:
            run.record.recorder.artifact(picture, "pictures")
    with summary.phase("register"):
        _register(run, data, checkpoint)
    summary.status = "FINISHED"
    run.record.close()
    say_results(run)


def checkpoints_of(run: Run) -> CheckpointStore:
    """A run's checkpoints, to be read."""
    return CheckpointStore.of(run.experiment, run.folder.storage, run.folder.path, {})


def summarise(run: Run) -> None:
    """Puts what the best weights are worth, and how fast they were come by, into the run's summary."""
    assert run.tested is not None
    summary, tested = run.summary, run.tested
    best = run.rows[tested.best_epoch]
    for split in ("train", "validation"):
        prefix = f"{split}/"
        summary.metrics[split] = {
            name.removeprefix(prefix): value for name, value in best.items() if name.startswith(prefix)
        }
    summary.metrics["test"] = tested.metrics
    summary.checkpoint = checkpoints_of(run).place(tested.best_epoch)
    rates = [row["samples_per_second"] for row in run.history]
    summary.samples_per_second = len(rates) / sum(1 / rate for rate in rates)


def _warn_of_collapse(run: Run) -> None:
    """Tags and tells of a generator that makes few of the classes."""
    worth = run.summary.metrics["test"] or run.summary.metrics["validation"]
    if worth.get("collapsed"):
        run.record.recorder.tag({"warning": "mode collapse"})
        log.warning(
            "mode collapse: the samples show %d of %d classes, diversity %.2f; lower optimizer.discriminator_lr, or "
            "smooth the labels",
            worth["classes"],
            len(run.classes),
            worth["diversity"],
        )


def _register(run: Run, data: Prepared, checkpoint: Path) -> None:
    """Registers the best weights; they become champion if they beat the present one on the same test split."""
    assert run.tested is not None
    experiment, model = run.experiment, run.summary.model
    test = run.tested.metrics
    fingerprint = data.pack.split_fingerprint(data.splits.test)
    with tempfile.TemporaryDirectory(dir=run.folder.storage) as scratch:
        bundle = copy_bundle(checkpoint, Path(scratch) / "model")
        version = tracking.register(
            run.record.uri,
            run_id=run.record.recorder.run_id,
            bundle=bundle,
            name=experiment.registered_model,
            metrics={f"test_{name}": value for name, value in test.items()},
            tags={
                "test_fingerprint": fingerprint,
                "data_fingerprint": data.pack.fingerprint,
                "classes": ",".join(data.pack.classes)[:500],
                **{key: value for key, value in origin().items() if key.startswith("git.")},
            },
        )
    model.name, model.version = version.name, version.version
    if test:
        metric = experiment.score
        score = Score(metric, test[metric], higher_is_better=metric in HIGHER_IS_BETTER)
        decision = tracking.promote(
            run.record.uri, version, score, fingerprint, measure=lambda folder: _measure(folder, run, data)
        )
        model.alias = tracking.CHAMPION if decision else None
        run.verdict = decision.reason


def _measure(bundle: Path, run: Run, data: Prepared) -> float:
    """What a champion that was tested on another split is worth on ours.

    Raises RequestError: it does something else.
    """
    champion = load_predictor(bundle)
    same_kind = champion.description["task"] == run.experiment.task
    if not same_kind or (isinstance(champion, Classifier) and champion.classes != data.pack.classes):
        raise RequestError("the present champion tells other classes apart; give this job another --tracking.model")
    seen = data_for(champion, run.experiment, run.folder.storage, run.display)
    worth, _ = measure(champion, seen.pack, seen.splits.test, run.experiment, run.classifier)
    if run.experiment.score not in worth:
        raise RequestError(f"the present champion cannot be measured by {run.experiment.score}")
    return worth[run.experiment.score]


def say_results(run: Run) -> None:
    """Says what the best weights are worth, what they were registered as, and what can be done with them."""
    summary, say, score = run.summary, run.display.result, run.experiment.score
    model, metrics = summary.model, summary.metrics
    champion = f" ({run.verdict})" if run.verdict else ""
    tested = f", test {score} {metrics['test'][score]:.4f}" if metrics["test"] else ""
    say(f"validation {score} {metrics['validation'][score]:.4f}{tested}")
    say(f"registered  {model.name} version {model.version}{champion}")
    say(f"pictures    {run.folder.shown('pictures')}")
    which = [] if model.alias else [f"--from models:/{model.name}/{model.version}"]
    say(f"predict     {command('predict', *_an_input(run), *which)}")
    if run.record.uri.startswith("sqlite:"):
        say(f"look        make ui   (or: mlflow ui --backend-store-uri {run.record.uri})")
    else:
        say(f"look        {tracking.shown(run.record.uri)}{', as the cluster calls it' * submitted()}")


def _an_input(run: Run) -> list[str]:
    """What `predict` is given, in the hint on it."""
    if run.experiment.task == "adversarial":
        return []
    return {"spiral": ["0.5,0.5"], "curve": ["0.5"]}.get(run.experiment.data.source, ["PATH"])
