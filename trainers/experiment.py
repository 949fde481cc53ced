"""The experiment schema: every option, its type, range, default and meaning, written down once.

The command line, the environment, YAML files, `--help` and the record of a run are all made from these classes.
Names in YAML have underscores (`image_size`), flags have dashes (`--data.image-size`).
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
# A count or a share: below 1 it is a fraction of the samples, from 1 on a number of samples.
Share = Annotated[float, Field(ge=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


class Section(BaseModel):
    """A group of options. Unknown keys are refused; values are checked again when set."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


class Augment(Section):
    """Random changes to training images, drawn anew for each image in each epoch; none at all by default."""

    flip: Fraction = Field(0.0, description="probability of a left-right mirror image")
    zoom: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="random crop: the side is scaled by 1 - zoom to 1, at a random place"
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="largest rotation either way, in degrees")
    color: Fraction = Field(0.0, description="largest relative change of brightness, contrast and saturation")


class Data(Section):
    """What to train on."""

    source: Literal["sample", "dogs-vs-cats", "folder"] = Field(
        "sample",
        description="sample: drawn here, no download; dogs-vs-cats: the label is the file name up to the first dot; "
        "folder: one sub-folder per class",
    )
    path: str | None = Field(None, description="the source's folder, .zip file or s3:// prefix (not for sample)")
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="side of the square image, in pixels")
    fit: Literal["crop", "squash", "pad"] = Field(
        "crop",
        description="how a photo becomes square: crop keeps the middle, squash ignores the aspect ratio, "
        "pad keeps all with grey bars",
    )
    validation: Share = Field(
        0.08, description="held out of train for validation where the source has none: a fraction (< 1) or a count"
    )
    test: Share = Field(
        0.08, description="held out of train for test where the source has none: a fraction (< 1) or a count"
    )
    unreadable: Literal["skip", "error", "move"] = Field(
        "skip",
        description="an unreadable image is left out and counted (skip), stops the run (error), or is also moved "
        "to a folder unreadable/ beside the data (move)",
    )
    augment: Augment = Field(Augment(), description="random changes to training images")

    @model_validator(mode="after")
    def _path_fits_source(self) -> Self:
        if self.source == "sample" and self.path is not None:
            raise ValueError("path: the source `sample` is drawn here and takes no path; name another data.source")
        if self.source != "sample" and self.path is None:
            raise ValueError(f"path: the source `{self.source}` needs a folder, a .zip file or an s3:// prefix")
        return self


class Model(Section):
    """The network."""

    name: Name = Field("simple_cnn", description="simple_cnn, or a torchvision classifier (resnet18, vgg16, …)")
    weights: str = Field(
        "none", description="where to start from: none, imagenet (torchvision's download), a file or an s3:// object"
    )
    partial: bool = Field(False, description="allow a weights file that lacks some layers; what is missing is listed")
    train: Literal["all", "head"] = Field(
        "all", description="all: every layer; head: only the last layer, the rest frozen and in eval mode"
    )
    batch_norm: bool = Field(False, description="BatchNorm after each convolution (simple_cnn only)")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="dropout before the last layer (simple_cnn only)"
    )


class Training(Section):
    """The loop."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = Field(5, description="passes over the training split")
    batch_size: Annotated[int, Field(ge=1)] = Field(
        64, description="global batch: samples per optimiser step over all workers; never changed behind your back"
    )
    micro_batch: Annotated[int, Field(ge=1)] | None = Field(
        None, description="samples per worker per forward/backward, whose gradients are accumulated; unset, all at once"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 mixed precision on GPUs that have it, else fp32"
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of the cross-entropy")
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="largest gradient norm; unset, any")
    best: Literal["accuracy", "loss"] = Field("accuracy", description="the validation metric that chooses the weights")
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop after this many epochs without a better validation metric; unset, never"
    )


class Optimizer(Section):
    """How weights move."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="the optimiser")
    lr: Annotated[float, Field(gt=0)] = Field(0.01, description="learning rate; the peak for one-cycle")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of sgd")
    nesterov: bool = Field(False, description="of sgd")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="weight decay")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ValueError("nesterov: needs optimizer.name sgd and optimizer.momentum > 0")
        return self


class Schedule(Section):
    """How the learning rate moves."""

    name: Literal["constant", "step", "one-cycle"] = Field(
        "constant", description="step: times gamma every step_size epochs; one-cycle: up, then down to nearly 0"
    )
    step_size: Annotated[int, Field(ge=1)] = Field(7, description="step: epochs between two drops")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(0.1, description="step: factor of a drop")
    warmup: Annotated[float, Field(gt=0, lt=1)] = Field(0.3, description="one-cycle: share of steps going up")


class Scale(Section):
    """Where it runs."""

    workers: Annotated[int, Field(ge=0, le=4096)] | None = Field(
        None, description="Ray Train workers; unset, one per GPU, else 1; 0: in this process, without Ray"
    )
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto: GPUs if there are some")
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = Field(
        None, description="CPU cores per worker; unset, the cluster's cores are shared out"
    )
    max_failures: Annotated[int, Field(ge=0)] = Field(3, description="how often a lost worker is replaced")


class Storage(Section):
    """Where things are kept."""

    path: str = Field("runs", description="folder for packs, checkpoints and the local MLflow store")


class Tracking(Section):
    """What is recorded, and where."""

    uri: str | None = Field(
        None, description="MLflow tracking URI; unset, MLFLOW_TRACKING_URI, else SQLite in storage.path"
    )
    experiment: str | None = Field(None, description="MLflow experiment; unset, the job's name")
    model: Name | None = Field(None, description="name of the registered model; unset, the job's name")
    system_metrics: bool = Field(True, description="record CPU, memory, disk, network and GPU use")


class Log(Section):
    """What is printed."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug also lets Ray and MLflow speak"
    )


class Experiment(Section):
    """The whole description of what to train, on what, where."""

    name: Name = Field("experiment", description="the job's name")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="every random draw comes from it")
    data: Data = Field(Data(), description=str(Data.__doc__))
    model: Model = Field(Model(), description=str(Model.__doc__))
    training: Training = Field(Training(), description=str(Training.__doc__))
    optimizer: Optimizer = Field(Optimizer(), description=str(Optimizer.__doc__))
    schedule: Schedule = Field(Schedule(), description=str(Schedule.__doc__))
    scale: Scale = Field(Scale(), description=str(Scale.__doc__))
    storage: Storage = Field(Storage(), description=str(Storage.__doc__))
    tracking: Tracking = Field(Tracking(), description=str(Tracking.__doc__))
    log: Log = Field(Log(), description=str(Log.__doc__))

    @property
    def registered_model(self) -> str:
        """Name under which the best weights are registered."""
        return self.tracking.model or self.name

    @property
    def mlflow_experiment(self) -> str:
        """MLflow experiment that the run belongs to."""
        return self.tracking.experiment or self.name
