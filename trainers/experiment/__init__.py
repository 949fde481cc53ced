"""The experiment schema: every option, its type, range, default and meaning, written down once.

The command line, the environment, YAML files, `--help` and the record of a run are all made from these classes.
Names in YAML have underscores (`image_size`), flags have dashes (`--data.image-size`).
"""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from trainers.catalogue import SOURCES, TASKS
from trainers.experiment.data import Augment, Data
from trainers.experiment.model import Model
from trainers.experiment.search import Distribution, Search
from trainers.experiment.section import Name, Section, one_of
from trainers.experiment.service import Log, Scale, Storage, Tracking
from trainers.experiment.training import Gan, Optimizer, Schedule, Training


class Experiment(Section):
    """The whole description of what to train, on what, where."""

    name: Name = Field("experiment", description="the job's name")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="every random draw comes from it")
    task: Annotated[str, one_of(TASKS, "task")] = Field(
        "classification", description=f"what is learnt: {', '.join(TASKS)}; a job's YAML file names it"
    )
    data: Data = Field(Data(), description=str(Data.__doc__))
    model: Model = Field(Model(), description=str(Model.__doc__))
    training: Training = Field(Training(), description=str(Training.__doc__))
    optimizer: Optimizer = Field(Optimizer(), description=str(Optimizer.__doc__))
    schedule: Schedule = Field(Schedule(), description=str(Schedule.__doc__))
    search: Search = Field(Search(), description=str(Search.__doc__))
    gan: Gan = Field(Gan(), description=str(Gan.__doc__))
    scale: Scale = Field(Scale(), description=str(Scale.__doc__))
    storage: Storage = Field(Storage(), description=str(Storage.__doc__))
    tracking: Tracking = Field(Tracking(), description=str(Tracking.__doc__))
    log: Log = Field(Log(), description=str(Log.__doc__))

    @model_validator(mode="before")
    @classmethod
    def _took_compare(cls, tree: Any) -> Any:
        """Experiments that were saved before sweeps compared values have it, empty."""
        if isinstance(tree, dict) and "compare" in tree:
            if tree["compare"]:
                raise ValueError(
                    "compare: is done by tune: search: {space: {model.name: {grid: [mlp, cnn]}}, scheduler: none}"
                )
            tree = {key: value for key, value in tree.items() if key != "compare"}
        return tree

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
