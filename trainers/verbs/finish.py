"""The end of a run: its metrics, its registered model, its pictures, and what can be done next."""

import tempfile
from pathlib import Path

from trainers import tracking
from trainers.data import open_pack, splits_of
from trainers.errors import RequestError
from trainers.reports import draw_curves
from trainers.tasks import Predictor, copy_bundle
from trainers.verbs.plan import Plan
from trainers.verbs.results import Results
from trainers.verbs.run import SEND_SECONDS, Run, command, origin


def finish(run: Run, data: Plan) -> None:
    """Records what the best weights are worth, registers them, draws, and says what came out."""
    assert run.tested is not None
    summary, tested = run.summary, run.tested
    best = run.rows[tested.best_epoch]
    for split in ("train", "validation"):
        summary.metrics[split] = {name: best[f"{split}/{name}"] for name in ("loss", "accuracy")}
    summary.metrics["test"] = tested.metrics
    summary.checkpoint = tested.checkpoint
    rates = [row["samples_per_second"] for row in run.history]
    summary.samples_per_second = len(rates) / sum(1 / rate for rate in rates)
    run.recorder.log({f"test/{name}": value for name, value in tested.metrics.items()}, step=tested.best_epoch)
    with summary.phase("evaluate"):
        pictures = run.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        drawn = [draw_curves(run.history, pictures / "curves.png")]
        if len(data.splits.test):
            drawn += Results(data.pack, data.splits.test, tested.probabilities).draw(pictures)
        for picture in drawn:
            run.recorder.artifact(picture, "pictures")
    with summary.phase("register"):
        _register(run, data)
    summary.status = "FINISHED"
    run.recorder.finish("FINISHED", wait_s=SEND_SECONDS)
    _say(run, pictures)


def _register(run: Run, data: Plan) -> None:
    """Registers the best weights; they become champion if they beat the present one on the same test split."""
    assert run.tested is not None
    experiment, model = run.experiment, run.summary.model
    test = run.tested.metrics
    fingerprint = data.pack.split_fingerprint(data.splits.test)
    with tempfile.TemporaryDirectory(dir=run.storage) as scratch:
        bundle = copy_bundle(Path(run.tested.checkpoint), Path(scratch) / "model")
        version = tracking.register(
            run.uri,
            run_id=run.recorder.run_id,
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
        decision = tracking.promote(
            run.uri, version, test["accuracy"], fingerprint, measure=lambda folder: _measure(folder, run, data)
        )
        model.alias = tracking.CHAMPION if decision else None
        run.verdict = decision.reason


def _measure(bundle: Path, run: Run, data: Plan) -> float:
    """Accuracy on our test split of a champion that was tested on another.

    Raises:
        RequestError: it tells other classes apart.
    """
    champion = Predictor.load(bundle)
    if champion.classes != data.pack.classes:
        raise RequestError("the present champion tells other classes apart; give this job another --tracking.model")
    options = run.experiment.data.model_copy(update={"image_size": champion.image_size, "fit": champion.fit})
    pack = open_pack(options, run.storage, progress=run.display.packing)
    test = splits_of(pack, options, run.experiment.seed).test
    return Results(pack, test, champion.probabilities(pack.images[test])).accuracy


def _say(run: Run, pictures: Path) -> None:
    summary, say = run.summary, run.display.result
    model, metrics = summary.model, summary.metrics
    champion = f" ({run.verdict})" if run.verdict else ""
    tested = f", test accuracy {metrics['test']['accuracy']:.4f}" if metrics["test"] else ""
    say(f"validation accuracy {metrics['validation']['accuracy']:.4f}{tested}")
    say(f"registered  {model.name} version {model.version}{champion}")
    say(f"pictures    {_near(pictures)}")
    which = [] if model.alias else [f"--from models:/{model.name}/{model.version}"]
    say(f"predict     {command('predict', 'PATH', *which)}")
    if run.uri.startswith("sqlite:"):
        say(f"look        make ui   (or: mlflow ui --backend-store-uri {run.uri})")
    else:
        say(f"look        {run.uri}")


def _near(path: Path) -> Path:
    """The path as seen from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
