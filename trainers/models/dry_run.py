"""Puts one image through a network, to learn whether that works and how large it is."""

from dataclasses import dataclass

import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.models.build import build

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Size:
    """How large a network is: parameters, how many of them are trained, and numbers that it computes per image."""

    parameters: int
    trained: int
    activations: int

    def training_bytes(self, micro_batch: int, optimizer: str, momentum: float) -> int:
        """Roughly what one worker needs in float32: weights, gradients, the optimiser's state, activations.

        Only what a trained layer needs for its gradient is kept, so a frozen backbone's activations are not counted;
        neither are the temporary buffers of convolutions.
        """
        states = 2 if optimizer == "adamw" else int(momentum > 0)
        kept = self.activations * micro_batch if self.trained == self.parameters else 0
        return FLOAT * (self.parameters + (1 + states) * self.trained + kept)


def dry_run(experiment: Experiment, classes: int, weights: dict[str, torch.Tensor] | None = None) -> Size:
    """Sizes of the experiment's network, once it has been built, with its weights, and has seen an image.

    Raises:
        RequestError: there is no such network, its weights do not fit, or it cannot take images of this size.
    """
    options, side = experiment.model, experiment.data.image_size
    # In earnest and not on the meta device: that imports torch's compiler, which takes longer than this.
    module = build(options, classes, side, weights).module.eval()
    activations = 0

    def count(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal activations
        if isinstance(output, torch.Tensor):
            activations += output.numel()

    for part in module.modules():
        if not list(part.children()):
            part.register_forward_hook(count)
    try:
        with torch.inference_mode():
            module(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        cause = str(error).splitlines()[0]
        raise RequestError(
            f"data.image_size: {options.name} cannot take images of {side} px ({cause}); try 64, 128 or 224"
        ) from None
    parameters = list(module.parameters())
    return Size(
        sum(parameter.numel() for parameter in parameters),
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        activations,
    )
