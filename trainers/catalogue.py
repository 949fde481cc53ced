"""The sources and the tasks that there are: adding one is a small file, and a line here.

The schema, `--help` and the code are made from these tables. A line names where the code is, as `pkgutil.resolve_name`
takes it, so that reading it imports nothing; the networks, which need no schema, have their table in
`trainers.models.table`.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SourceSpec:
    """A named data set.

    Attributes:
        function: `module:function` that lists it, given its files (see `trainers.data.sources.by_name`).
        about: in a few words.
        at: whether its files are at `data.path`, can also be downloaded, or are made here.
        gives: what a sample is.
        grey: images have one channel.
        pattern: the function also takes `data.pattern`.
    """

    function: str
    about: str
    at: Literal["path", "download", "here"] = "path"
    gives: Literal["images", "points", "values"] = "images"
    grey: bool = False
    pattern: bool = False


@dataclass(frozen=True)
class TaskSpec:
    """What can be learnt.

    Attributes:
        module: its code: `TASK`, a class of `trainers.tasks.task.Task`, and `PREDICTOR`, of `trainers.tasks.predictor`.
        losses: that fit it, the default first.
        best: validation metrics that may choose the weights, the default first.
        takes: what its samples may be.
        network: which kind it needs (see `trainers.models.table`).
        normalise: what `data.normalise` must be, if the network's outputs are images.
    """

    module: str
    losses: tuple[str, ...]
    best: tuple[str, ...]
    takes: tuple[str, ...] = ("images",)
    network: Literal["predicting", "autoencoder", "gan"] = "predicting"
    normalise: str | None = None


SOURCES: dict[str, SourceSpec] = {
    "sample": SourceSpec("trainers.data.sources.sample:list_sample", "cats and dogs drawn here", at="here"),
    "dogs-vs-cats": SourceSpec(
        "trainers.data.sources.dogs_vs_cats:list_dogs_vs_cats", "the class is the file name up to the first dot"
    ),
    "folder": SourceSpec("trainers.data.sources.folder:list_folder", "one sub-folder per class"),
    "names": SourceSpec(
        "trainers.data.sources.file_names:list_by_file_name", "the class is found in the file name", pattern=True
    ),
    "mnist": SourceSpec("trainers.data.sources.mnist:list_mnist", "handwritten digits", at="download", grey=True),
    "fashion-mnist": SourceSpec("trainers.data.sources.mnist:list_fashion_mnist", "clothes", at="download", grey=True),
    "cifar10": SourceSpec("trainers.data.sources.cifar10:list_cifar10", "ten kinds of things", at="download"),
    "oxford-pets": SourceSpec(
        "trainers.data.sources.oxford_pets:list_oxford_pets", "37 breeds", at="download", pattern=True
    ),
    "spiral": SourceSpec("trainers.data.sources.spiral:list_spiral", "points on three arms", at="here", gives="points"),
    "curve": SourceSpec("trainers.data.sources.curve:list_curve", "a noisy curve", at="here", gives="values"),
}

TASKS: dict[str, TaskSpec] = {
    "classification": TaskSpec(
        "trainers.tasks.classification", ("cross-entropy", "nll"), ("accuracy", "loss"), ("images", "points")
    ),
    "regression": TaskSpec("trainers.tasks.regression", ("mse", "l1", "huber"), ("mse", "loss"), ("values",)),
    "autoencoding": TaskSpec(
        "trainers.tasks.autoencoding", ("mse", "l1", "bce"), ("mse", "loss"), network="autoencoder", normalise="unit"
    ),
    "adversarial": TaskSpec(
        "trainers.tasks.adversarial", ("bce", "least-squares"), ("frechet",), network="gan", normalise="symmetric"
    ),
}
HIGHER_IS_BETTER = ("accuracy",)  # of the metrics that choose weights and champions; of the others lower is
