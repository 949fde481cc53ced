"""Options of the network."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from trainers.experiment.section import Count, Name, Section


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
