"""The classifier that measures a GAN's samples: the one that is named, or a small one trained on the same images."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from trainers.cluster import Resources
from trainers.data import Prepared
from trainers.data.disk import locked, replacing
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.events import EpochDone, Failed, Tested
from trainers.experiment import Experiment
from trainers.storage import Mirror, on_s3
from trainers.tasks import Classifier, copy_bundle, load_predictor
from trainers.tasks.bundle import DESCRIPTION, WEIGHTS
from trainers.trained.find import find_model

# The recipe of jobs/mnist.yaml's `cnn`, shortened: 0.99 on MNIST.
RECIPE = {
    "model": {"name": "cnn"},
    "training": {"epochs": 2, "batch_size": 128},
    "optimizer": {"name": "adam", "lr": 0.003},
    "schedule": {"name": "one-cycle"},
    "scale": {"workers": 0},
}


def find_classifier(
    experiment: Experiment, data: Prepared, storage: Path, display: Display, resources: Resources
) -> Path:
    """The folder of the classifier that `gan.classifier` names or, where it names none, of one trained here once.

    It is absolute, and with storage on S3 it has a copy there: rank 0 may be on another machine.

    Raises RequestError: there is no such model, or it does not classify images of this shape.
    """
    if experiment.gan.classifier is None:
        folder = storage / "classifiers" / f"{data.pack.key}-{experiment.seed}"
        kept = Mirror.of(experiment.storage, storage, folder)
        kept.pull()
        if not _is_whole(folder):
            _train(experiment, data, storage, display, resources, folder)
        kept.push()
        return folder
    found = find_model(experiment, storage, experiment.gan.classifier)
    predictor = load_predictor(found.folder)
    if not isinstance(predictor, Classifier) or predictor.shape != data.pack.shape:
        raise RequestError(
            f"gan.classifier: {found.reference} does not classify images of {data.pack.shape[1]} px with "
            f"{data.pack.shape[0]} channels; leave it out to have one trained"
        )
    predictor.features(data.pack.inputs[:1])
    folder = found.folder.resolve()
    if on_s3(experiment.storage) and not folder.is_relative_to(storage):
        folder = _copied(folder, storage / "models")
    Mirror.of(experiment.storage, storage, folder).push()
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether a model lies there; whoever copied it may have been interrupted."""
    return all((folder / name).exists() for name in (DESCRIPTION, WEIGHTS))


def _copied(model: Path, models: Path) -> Path:
    """A copy of a model that lies outside the storage, named by its content."""
    content = b"".join((model / name).read_bytes() for name in (DESCRIPTION, WEIGHTS))
    copy = models / f"copy-{hashlib.sha256(content).hexdigest()[:16]}"
    with locked(copy.with_suffix(".lock")):
        if not _is_whole(copy):
            with replacing(copy) as aside:
                for name in (DESCRIPTION, WEIGHTS):
                    shutil.copyfile(model / name, aside / name)
    return copy


def _train(
    experiment: Experiment, data: Prepared, storage: Path, display: Display, resources: Resources, folder: Path
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
                if not _is_whole(folder):  # another process may have trained it meanwhile
                    shutil.rmtree(folder, ignore_errors=True)
                    bundle.rename(folder)


def _worth(tested: Tested) -> str:
    return f"test accuracy {tested.metrics['accuracy']:.4f}" if tested.metrics else "is trained"
