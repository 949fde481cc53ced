"""The classifier that measures a GAN's samples: the one that is named, or a small one trained on the same images."""

import tempfile
from pathlib import Path

from trainers.cluster import Resources
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.events import EpochDone, Failed, Tested
from trainers.experiment import Experiment
from trainers.storage import Mirror
from trainers.tasks import Classifier, copy_bundle, load_predictor
from trainers.verbs.models import find_model
from trainers.verbs.plan import Plan

# The recipe of jobs/mnist.yaml's `cnn`, shortened: 0.99 on MNIST.
RECIPE = {
    "model": {"name": "cnn"},
    "training": {"epochs": 2, "batch_size": 128},
    "optimizer": {"name": "adam", "lr": 0.003},
    "schedule": {"name": "one-cycle"},
    "scale": {"workers": 0},
}


def find_classifier(experiment: Experiment, data: Plan, storage: Path, display: Display, resources: Resources) -> Path:
    """The folder of the classifier that `gan.classifier` names or, where it names none, of one trained here once.

    Raises:
        RequestError: there is no such model, or it does not classify images of this shape.
    """
    if experiment.gan.classifier is None:
        folder = storage / "classifiers" / f"{data.pack.key}-{experiment.seed}"
        kept = Mirror.of(experiment.storage, storage, folder)
        kept.pull()
        if not folder.exists():
            _train(experiment, data, storage, display, resources, folder)
        kept.push()  # rank 0 may be on another machine
        return folder
    found = find_model(experiment, storage, experiment.gan.classifier)
    predictor = load_predictor(found.folder)
    if not isinstance(predictor, Classifier) or predictor.shape != data.pack.shape:
        raise RequestError(
            f"gan.classifier: {found.reference} does not classify images of {data.pack.shape[1]} px with "
            f"{data.pack.shape[0]} channels; leave it out to have one trained"
        )
    predictor.features(data.pack.inputs[:1])
    Mirror.of(experiment.storage, storage, found.folder).push()
    return found.folder


def _train(
    experiment: Experiment, data: Plan, storage: Path, display: Display, resources: Resources, folder: Path
) -> None:
    from trainers.engine import Job, work_here

    if len(data.pack.classes) < 2:
        raise RequestError("gan.classifier: this source has no classes to train one on; name a trained classifier")
    keep = experiment.data.model_dump(exclude={"augment", "normalise"})
    options = Experiment.model_validate(
        {**RECIPE, "name": "classifier", "seed": experiment.seed, "data": {**keep, "normalise": "mnist"}}
    )
    display.say("classifier  is trained first, once, to measure the samples")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as scratch:
        job = Job(options, Path(scratch), storage, data.pack.key)
        for event in work_here(job, cpus=resources.cpus * max(1, resources.workers), gpu=resources.gpu):
            if isinstance(event, EpochDone):
                display.epoch(event.row, options.training.epochs)
            elif isinstance(event, Failed):
                raise WorkError(event.message)
            elif isinstance(event, Tested):
                bundle = copy_bundle(Path(event.checkpoint), Path(scratch) / "bundle")
                display.say(f"classifier  {_worth(event)}")
                if not folder.exists():
                    bundle.rename(folder)


def _worth(tested: Tested) -> str:
    return f"test accuracy {tested.metrics['accuracy']:.4f}" if tested.metrics else "is trained"
