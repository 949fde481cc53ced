"""The experiment schema: every option, its type, range, default and meaning, written down once.

The command line, the environment, YAML files, `--help` and the record of a run are all made from these classes.
Names in YAML have underscores (`image_size`), flags have dashes (`--data.image-size`).
"""

import difflib
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from trainers.catalogue import SOURCES, TASKS

Fraction = Annotated[float, Field(ge=0, le=1)]
# A count or a share: below 1 it is a fraction of the samples, from 1 on a number of samples.
Share = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]


def _one_of(table: dict[str, Any], what: str) -> AfterValidator:
    """Accepts the names in a table of the catalogue."""

    def check(name: str) -> str:
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(table)}"
            raise PydanticCustomError("unknown_name", "{why}", {"why": f"no {what} `{name}`; {hint}"})
        return name

    return AfterValidator(check)


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
    crop: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="random shift: padded by so many pixels, cropped back at a random place"
    )
    cutout: Fraction = Field(0.0, description="a square of this share of the side is blotted out at a random place")
    randaugment: Annotated[int, Field(ge=0, le=10)] = Field(
        0, description="RandAugment: so many random operations per image (torchvision's, image by image: slower)"
    )
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = Field(9, description="strength of RandAugment")
    mixup: Annotated[float, Field(ge=0)] = Field(
        0.0, description="MixUp: alpha of the Beta distribution by which two images and their classes are blended"
    )
    cutmix: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="CutMix: alpha for the size of the patch from another image; with mixup, one of the two",
    )


class Data(Section):
    """What to train on."""

    source: Annotated[str, _one_of(SOURCES, "source")] = Field(
        "sample", description="; ".join(f"{name}: {source.about}" for name, source in SOURCES.items())
    )
    path: str | None = Field(
        None, description="the source's folder, .zip file or s3:// prefix; unset, what is drawn or downloaded"
    )
    download: bool = Field(True, description="fetch mnist, fashion-mnist, cifar10, oxford-pets if they are not there")
    pattern: str | None = Field(
        None, description="names, oxford-pets: regular expression whose first group in a file's name is its class"
    )
    image_size: Annotated[int, Field(ge=8, le=1024)] = Field(64, description="side of the square image, in pixels")
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="auto: grey for mnist and fashion-mnist, else rgb"
    )
    normalise: Literal["imagenet", "mnist", "unit", "symmetric"] = Field(
        "imagenet", description="pixels to mean 0, deviation 1 of ImageNet or MNIST, to 0…1 (unit) or -1…1 (symmetric)"
    )
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
        at = SOURCES[self.source].at
        if at == "here" and self.path is not None:
            raise ValueError(
                f"path: the source `{self.source}` is made here and takes no path; name another data.source"
            )
        if at == "path" and self.path is None:
            raise ValueError(f"path: the source `{self.source}` needs a folder, a .zip file or an s3:// prefix")
        return self

    @model_validator(mode="after")
    def _shift_stays_inside(self) -> Self:
        if self.augment.crop >= self.image_size:
            raise ValueError(f"augment.crop: {self.augment.crop} shifts images of {self.image_size} px out of sight")
        return self

    @model_validator(mode="after")
    def _pattern_finds_a_class(self) -> Self:
        if self.pattern is None:
            if self.source == "names":
                raise ValueError("pattern: the source `names` needs one, such as '^(.+)_[0-9]+[.]jpg$'")
            return self
        try:
            groups = re.compile(self.pattern).groups
        except re.error as error:
            raise ValueError(f"pattern: {self.pattern!r} is no regular expression: {error}") from None
        if groups == 0:
            raise ValueError(f"pattern: {self.pattern!r} has no group (…) for the class")
        return self


class Model(Section):
    """The network."""

    name: Name = Field(
        "simple_cnn", description="one of this library's (simple_cnn, mlp, …) or of torchvision's (resnet18, vgg16, …)"
    )
    weights: str = Field(
        "none", description="where to start from: none, imagenet (torchvision's download), a file or an s3:// object"
    )
    partial: bool = Field(False, description="allow a weights file that lacks some layers; what is missing is listed")
    hidden: list[Count] = Field([256], description="mlp: widths of the hidden layers")
    latent: Count = Field(32, description="autoencoders, GANs: how many numbers an image is made from")
    batch_norm: bool = Field(
        False, description="BatchNorm before each ReLU (simple_cnn and mlp; others are as they are)"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="of every dropout layer; unset, as the network has it"
    )
    remove: list[str] = Field([], description="layers taken out, by name, such as classifier.5")
    init: Literal["default", "kaiming", "xavier", "orthogonal", "normal"] = Field(
        "default", description="how weights begin that no weights file gives"
    )
    output: Literal["plain", "log-softmax"] = Field("plain", description="log-softmax: log-probabilities, for nll")
    train: Literal["all", "head"] = Field(
        "all", description="all: every layer; head: only the last layer, the rest frozen and in eval mode"
    )
    freeze: list[str] = Field([], description="layers kept as they are, by name, such as conv1 or layer1.0")
    freeze_groups: Annotated[int, Field(ge=0)] = Field(
        0, description="how many layer groups, from the first, are kept as they are (`plan` lists them)"
    )
    unfreeze: list[Count] = Field(
        [],
        description="before each of these epochs one more layer group is trained, from the last; "
        "before the last of them, all; optimiser and schedule begin anew",
    )

    @model_validator(mode="after")
    def _unfreezing_is_in_order(self) -> Self:
        if any(epoch < 2 for epoch in self.unfreeze) or sorted(set(self.unfreeze)) != self.unfreeze:
            raise ValueError("unfreeze: must be epochs from 2 on, in ascending order")
        if self.unfreeze and not (self.train == "head" or self.freeze or self.freeze_groups):
            raise ValueError("unfreeze: nothing is frozen; set model.train head, model.freeze or model.freeze_groups")
        return self


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
    loss: str = Field(
        "auto",
        description="auto: cross-entropy (classification), mse (regression, autoencoding), bce (adversarial); "
        "nll wants model.output log-softmax; least-squares is for GANs",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="of the classes; for a GAN, of the real images' label alone"
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(None, description="largest gradient norm; unset, any")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="use an exponential moving average of the weights with this decay (of a GAN, the generator's)",
    )
    best: str = Field(
        "auto",
        description="the validation metric that chooses the weights; auto: accuracy (classification), "
        "mse (regression, autoencoding), frechet (adversarial)",
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="stop after this many epochs without a better validation metric; unset, never"
    )


class Optimizer(Section):
    """How weights move."""

    name: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad"] = Field("sgd", description="the optimiser")
    lr: Rate = Field(0.01, description="learning rate; the peak for one-cycle")
    lr_low: Rate | None = Field(
        None, description="of the first layer group; those up to the last, which has lr, in equal ratios; unset, lr"
    )
    unfreeze_factor: Annotated[float, Field(gt=0)] = Field(
        1.0, description="the rates are multiplied by this at each of model.unfreeze"
    )
    discriminator_lr: Rate | None = Field(None, description="GANs: of the discriminator; unset, lr")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of sgd and rmsprop")
    nesterov: bool = Field(False, description="of sgd")
    beta1: Annotated[float, Field(ge=0, lt=1)] = Field(0.9, description="of adam and adamw: decay of the mean")
    beta2: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="of adam and adamw: decay of the variance")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="weight decay")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.nesterov and (self.name != "sgd" or self.momentum == 0):
            raise ValueError("nesterov: needs optimizer.name sgd and optimizer.momentum > 0")
        if self.lr_low is not None and self.lr_low > self.lr:
            raise ValueError(f"lr_low: {self.lr_low:g} is more than optimizer.lr {self.lr:g}")
        return self


class Schedule(Section):
    """How the learning rate moves."""

    name: Literal["constant", "step", "multi-step", "exponential", "plateau", "cosine", "one-cycle"] = Field(
        "constant",
        description="step: times gamma every step_size epochs; multi-step: at milestones; exponential: every epoch; "
        "plateau: after patience epochs without a better validation loss; cosine: down to 0; one-cycle: up, then down",
    )
    step_size: Count = Field(7, description="step: epochs between two drops")
    milestones: list[Count] = Field([], description="multi-step: epochs after which the rate drops")
    gamma: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="step, multi-step, exponential, plateau: factor of a drop"
    )
    patience: Annotated[int, Field(ge=0)] = Field(3, description="plateau: epochs without a better validation loss")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="one-cycle, cosine: share of the steps in which the rate goes up"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.name == "multi-step" and not self.milestones:
            raise ValueError("milestones: multi-step needs at least one epoch")
        if self.name == "plateau" and self.gamma == 1:
            raise ValueError("gamma: plateau needs less than 1")
        if self.name == "one-cycle" and self.warmup == 0:
            raise ValueError("warmup: one-cycle needs more than 0")
        return self


class Gan(Section):
    """How the samples of a GAN are judged."""

    classifier: str | None = Field(
        None,
        description="a trained classifier of the same images, which measures the samples: a folder, "
        "models:/NAME/VERSION or models:/NAME@ALIAS; unset, a small one is trained first",
    )
    samples: Annotated[int, Field(ge=64, le=50_000)] = Field(1000, description="how many are measured after each epoch")


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
    task: Annotated[str, _one_of(TASKS, "task")] = Field(
        "classification", description=f"what is learnt: {', '.join(TASKS)}; a job's YAML file names it"
    )
    compare: dict[str, list[Any]] = Field(
        {}, description="one option and several values: the run is done once for each, and a table compares them"
    )
    data: Data = Field(Data(), description=str(Data.__doc__))
    model: Model = Field(Model(), description=str(Model.__doc__))
    training: Training = Field(Training(), description=str(Training.__doc__))
    optimizer: Optimizer = Field(Optimizer(), description=str(Optimizer.__doc__))
    schedule: Schedule = Field(Schedule(), description=str(Schedule.__doc__))
    gan: Gan = Field(Gan(), description=str(Gan.__doc__))
    scale: Scale = Field(Scale(), description=str(Scale.__doc__))
    storage: Storage = Field(Storage(), description=str(Storage.__doc__))
    tracking: Tracking = Field(Tracking(), description=str(Tracking.__doc__))
    log: Log = Field(Log(), description=str(Log.__doc__))

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        task, training, augment = self.task, self.training, self.data.augment
        rules, source = TASKS[task], SOURCES[self.data.source]
        for key, value, known in (("loss", training.loss, rules.losses), ("best", training.best, rules.best)):
            if value != "auto" and value not in known:
                raise ValueError(f"training.{key}: {value} is not for {task}, which has {', '.join(known)}")
        log_softmax = self.model.output == "log-softmax"
        if training.loss == "nll" and not log_softmax:
            raise ValueError("training.loss: nll wants log-probabilities: set model.output log-softmax")
        if log_softmax and training.loss != "nll":
            raise ValueError("model.output: log-softmax goes with training.loss nll (cross-entropy does it itself)")
        if training.label_smoothing and task not in ("classification", "adversarial"):
            raise ValueError(f"training.label_smoothing: there are no labels to smooth in {task}")
        if (augment.mixup or augment.cutmix) and task != "classification":
            raise ValueError(f"data.augment.mixup: MixUp and CutMix blend classes, which {task} does not have")
        if rules.normalise not in (None, self.data.normalise):
            raise ValueError(f"data.normalise: {task} needs {rules.normalise}, the range of what its network puts out")
        if source.gives not in rules.takes:
            raise ValueError(
                f"data.source: {self.data.source} gives {source.gives}; {task} takes {' or '.join(rules.takes)}"
            )
        return self

    @model_validator(mode="after")
    def _compares_one_option(self) -> Self:
        if len(self.compare) > 1 or any(len(values) < 2 for values in self.compare.values()):
            raise ValueError("compare: needs one option and at least two values, such as {model.name: [mlp, cnn]}")
        return self

    @property
    def loss(self) -> str:
        """The loss, `auto` resolved."""
        return TASKS[self.task].losses[0] if self.training.loss == "auto" else self.training.loss

    @property
    def score(self) -> str:
        """The validation metric that chooses the weights, `auto` resolved."""
        return TASKS[self.task].best[0] if self.training.best == "auto" else self.training.best

    @property
    def registered_model(self) -> str:
        """Name under which the best weights are registered."""
        return self.tracking.model or self.name

    @property
    def mlflow_experiment(self) -> str:
        """MLflow experiment that the run belongs to."""
        return self.tracking.experiment or self.name
