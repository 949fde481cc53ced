"""Puts one sample through a network, to learn whether that works, how large it is and what it is made of."""

import math
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from trainers.data import Shape
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.models.build import build
from trainers.models.built import Built, group_of
from trainers.models.gan import GanNetworks
from trainers.models.size import Layer, Size


def dry_run(experiment: Experiment, shape: Shape, outputs: int, weights: dict[str, torch.Tensor] | None = None) -> Size:
    """Sizes of the experiment's network, once it has been built, with its weights, and has seen one sample.

    Args:
        experiment: its `model` and `task` matter.
        shape: of one sample, (C, H, W) or (D,).
        outputs: number of classes, or of values to be predicted.
        weights: tensors by name; None to start from scratch.

    Raises:
        RequestError: there is no such network, its weights do not fit, it cannot take samples of this shape, or without
            the removed layers the others no longer fit together.
    """
    built = build(experiment.model, shape, outputs, weights, task=experiment.task)
    module = built.module.eval()
    trace = _Trace(built)
    expected = {"autoencoding": shape, "adversarial": ()}.get(experiment.task, (outputs,))
    try:
        with torch.inference_mode():
            found = tuple(_try(module, shape).shape[1:])
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise _refusal(experiment, shape, str(error).splitlines()[0]) from None
    if found != expected:
        raise _refusal(experiment, shape, f"it puts out {found} instead of {expected}")
    parameters, layers = list(module.parameters()), tuple(trace.layers.values())
    total = sum(parameter.numel() for parameter in parameters)
    inside = total > sum(layer.parameters for layer in layers)
    return Size(
        total,
        sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        trace.activations,
        trace.kept,
        layers,
        unfrozen=bool(experiment.model.unfreeze),
        elsewhere=_count(trace, shape) - sum(layer.multiply_adds for layer in layers) if inside else 0,
    )


def _count(trace: "_Trace", shape: Shape) -> int:
    """All multiply-adds of one sample, those inside attention too, by PyTorch's own counter.

    Only where there is such a layer: the counter imports torch._dynamo, which takes a second and a half.
    """
    from torch.utils.flop_counter import FlopCounterMode

    for hook in trace.hooks:
        hook.remove()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # all of attention in one operation, which is not counted
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            _try(trace.built.module, shape)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    operations: int = counter.get_total_flops()
    return operations // 2


@dataclass
class _Trace:
    """Listens to a network and notes what its layers put out."""

    built: Built
    layers: dict[str, Layer] = field(default_factory=dict)
    hooks: list[RemovableHandle] = field(default_factory=list)
    activations: int = 0
    kept: int = 0

    def __post_init__(self) -> None:
        for name, part in self.built.module.named_modules():
            if not list(part.children()):
                self.hooks.append(part.register_forward_hook(partial(self._note, name)))

    def _note(self, name: str, part: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if not isinstance(output, torch.Tensor):
            return
        numbers = [parameter.numel() for parameter in part.parameters()]
        trained = [parameter.numel() for parameter in part.parameters() if parameter.requires_grad]
        self.activations += output.numel()
        if trained or self.kept:
            self.kept += output.numel()
        work = _multiply_adds(part, inputs[0], output)
        if name in self.layers:  # it runs more than once
            work += self.layers[name].multiply_adds
            self.layers[name] = replace(self.layers[name], multiply_adds=work)
        else:
            shape, group = tuple(output.shape[1:]), group_of(name, self.built.groups)
            place = None if group is None else group + 1
            self.layers[name] = Layer(name, type(part).__name__, shape, sum(numbers), sum(trained), work, place)


def _multiply_adds(part: nn.Module, given: object, output: torch.Tensor) -> int:
    """Of one sample: each output sums over inputs; in a transposed convolution each input adds to outputs."""
    if isinstance(part, nn.Linear):
        return output.numel() * part.in_features
    if isinstance(part, nn.ConvTranspose2d) and isinstance(given, torch.Tensor):
        return given.numel() * part.out_channels // part.groups * math.prod(part.kernel_size)
    if isinstance(part, nn.Conv2d):
        return output.numel() * part.in_channels // part.groups * math.prod(part.kernel_size)
    return 0


def _try(module: nn.Module, shape: Shape) -> torch.Tensor:
    result: torch.Tensor
    if isinstance(module, GanNetworks):
        images = module(torch.zeros(1, module.latent))
        if tuple(images.shape[1:]) != shape:
            raise ValueError(f"its images are {tuple(images.shape[1:])}")
        result = module.discriminator(images)
    else:
        result = module(torch.zeros(1, *shape))
    return result


def _refusal(experiment: Experiment, shape: Shape, cause: str) -> RequestError:
    name, removed = experiment.model.name, experiment.model.remove
    if removed:
        return RequestError(
            f"model.remove: without {', '.join(removed)} the layers of {name} no longer fit together ({cause})"
        )
    return RequestError(f"data.image_size: {name} cannot take images of {shape[-1]} px ({cause}); try 64, 128 or 224")
