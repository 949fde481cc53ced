"""Options of the training: the loop, the optimiser, the schedule, and how GANs are judged."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainers.experiment.section import Count, Rate, Section


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
        None, description="use an exponential moving average of the weights with this decay (of a GAN, the generator's)"
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
