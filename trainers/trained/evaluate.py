"""`evaluate`: a registered model or a checkpoint on a split of the job's data."""

from pathlib import Path

import torch

from trainers.cluster import find_resources, this_machine
from trainers.data import Prepared, open_pack
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.models import build, resolve_weights
from trainers.storage import Mirror, check_storage
from trainers.summary import Summary
from trainers.tasks import Classifier, Predictor, Sampler, describe, load_predictor, outputs_of, predictor_class
from trainers.trained.find import Found, find_model
from trainers.trained.measure import data_for, measure
from trainers.trained.pictures import draw_results
from trainers.trained.results import Results

ROWS = 10  # of the tables
OWN = "weights"  # in the place of a model: the experiment's own network with model.weights


def evaluate(experiment: Experiment, display: Display, summary: Summary, *, reference: str | None, split: str) -> None:
    """Does the verb: prints metrics and, of a classifier, the most confused pairs and top losses; draws.

    Args:
        reference: as `find_model`; or `weights`, the experiment's own network with `model.weights`.

    Raises RequestError: there is no such model, or it tells other classes apart than the data has.
    """
    with summary.phase("plan"):
        storage = check_storage(experiment.storage)
        if reference == OWN:
            found, predictor = _own(experiment, storage, display)
        else:
            found = find_model(experiment, storage, reference)
            predictor = load_predictor(found.folder)
    with summary.phase("pack"):
        data = data_for(predictor, experiment, storage, display)
        pack, indices = data.pack, getattr(data.splits, split)
    if isinstance(predictor, Classifier) and predictor.classes != pack.classes:
        raise RequestError(
            f"{found.reference} tells {', '.join(predictor.classes)} apart, the data has {', '.join(pack.classes)}"
        )
    if not len(indices):
        raise RequestError(f"--split: the {split} split is empty; see data.{split}")
    classifier = None
    if isinstance(predictor, Sampler):
        classifier = _classifier(experiment, data, storage, display)
    with summary.phase("evaluate"):
        metrics, answers = measure(predictor, pack, indices, experiment, classifier)
        folder = storage / "evaluations" / found.slug / split
        draw_results(lambda: predictor, pack, indices, answers, folder)
        kept = Mirror.of(experiment.storage, storage, folder)
        kept.settle()
    summary.model.name, summary.model.version = found.name, found.version
    summary.metrics[split] = metrics
    summary.status = "FINISHED"
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in reversed(metrics.items()))
    if "accuracy" in metrics:
        numbers += f", error rate {1 - metrics['accuracy']:.4f}"
    display.result(f"{found.reference} on {split}: {numbers}, {len(indices):,} samples")
    if isinstance(predictor, Classifier):
        _tables(Results(pack, indices, answers), display)
    display.result(f"pictures    {kept.shown()}")


def _own(experiment: Experiment, storage: Path, display: Display) -> tuple[Found, Predictor]:
    """The experiment's network with the weights that it would start from."""
    weights = resolve_weights(experiment.model, storage)
    if weights is None:
        raise RequestError(f"--from: {OWN} needs model.weights: imagenet, a file or an s3:// object")
    pack = open_pack(experiment.data, storage, progress=display.packing)
    built = build(experiment.model, pack.shape, outputs_of(pack), weights, task=experiment.task)
    if built.missing:
        raise RequestError(
            f"--from: {experiment.model.weights} lacks {built.missing[0]}, so there is nothing to evaluate"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    predictor = predictor_class(experiment.task)(built.module, describe(experiment, pack), device)
    return Found(Path(), f"{experiment.model.name} with {Path(experiment.model.weights).name}"), predictor


def _tables(results: Results, display: Display) -> None:
    for truth, predicted, count in results.most_confused(ROWS):
        display.say(f"  {truth} taken for {predicted}: {count}")
    for name, truth, predicted, loss in results.top_losses(ROWS):
        display.say(f"  loss {loss:7.3f}  {name}  is {truth}, taken for {predicted}")


def _classifier(experiment: Experiment, data: Prepared, storage: Path, display: Display) -> Path:
    from trainers.trained.classifier import find_classifier

    here = this_machine(experiment.scale.workers)
    resources = find_resources(experiment.scale, experiment.training.batch_size, here)
    return find_classifier(experiment, data, storage, display, resources)
