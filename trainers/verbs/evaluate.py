"""`evaluate`: a registered model or a checkpoint on a split of the job's data."""

from trainers.data import open_pack, splits_of
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.tasks import Predictor
from trainers.verbs.models import find_model
from trainers.verbs.plan import storage_folder
from trainers.verbs.results import Results

ROWS = 10  # of the tables


def evaluate(experiment: Experiment, display: Display, summary: Summary, *, reference: str | None, split: str) -> None:
    """Does the verb: prints accuracy, most confused pairs and top losses, and draws the confusion matrix.

    Raises:
        RequestError: there is no such model, or it tells other classes apart than the data has.
    """
    with summary.phase("plan"):
        storage = storage_folder(experiment)
        found = find_model(experiment, storage, reference)
        predictor = Predictor.load(found.folder)
    options = experiment.data.model_copy(update={"image_size": predictor.image_size, "fit": predictor.fit})
    with summary.phase("pack"):
        pack = open_pack(options, storage, progress=display.packing)
        indices = getattr(splits_of(pack, options, experiment.seed), split)
    if predictor.classes != pack.classes:
        raise RequestError(
            f"{found.reference} tells {', '.join(predictor.classes)} apart, the data has {', '.join(pack.classes)}"
        )
    if not len(indices):
        raise RequestError(f"--split: the {split} split is empty; see data.{split}")
    with summary.phase("evaluate"):
        results = Results(pack, indices, predictor.probabilities(pack.images[indices]))
        folder = storage / "evaluations" / found.slug / split
        results.draw(folder)
    summary.model.name, summary.model.version = found.name, found.version
    summary.metrics[split] = {"loss": float(results.losses.mean()), "accuracy": results.accuracy}
    summary.status = "FINISHED"
    metrics = summary.metrics[split]
    display.result(
        f"{found.reference} on {split}: accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}, "
        f"{len(indices):,} images"
    )
    for truth, predicted, count in results.most_confused(ROWS):
        display.say(f"  {truth} taken for {predicted}: {count}")
    for name, truth, predicted, loss in results.top_losses(ROWS):
        display.say(f"  loss {loss:7.3f}  {name}  is {truth}, taken for {predicted}")
    display.result(f"pictures    {folder}")
