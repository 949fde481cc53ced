"""Builds a network from its options."""

import difflib
from dataclasses import dataclass

import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.simple_cnn import SimpleCNN
from trainers.models.weights import load_weights

# Networks with a second classifier that only helps training from scratch; it is left out, its weights are ignored.
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


@dataclass(frozen=True)
class Built:
    """A network, the name of its last layer, and the parameters that its weights file did not have."""

    module: nn.Module
    head: str
    missing: tuple[str, ...] = ()


def names() -> list[str]:
    """Every name that `model.name` may have."""
    import torchvision

    return ["simple_cnn", *torchvision.models.list_models(module=torchvision.models)]


def build(model: Model, classes: int, image_size: int, weights: dict[str, torch.Tensor] | None = None) -> Built:
    """The network with `classes` outputs, given weights loaded and the backbone frozen if only the head is trained.

    Draws its initial weights from torch's global generator: seed it first.

    Raises:
        RequestError: the name is not known, the image is too small for it, or the weights do not fit.
    """
    module = _construct(model, classes, image_size)
    head = _replace_head(module, classes) if model.name != "simple_cnn" else "classifier.6"
    missing: tuple[str, ...] = ()
    if weights is not None:
        kept = {key: value for key, value in weights.items() if not key.startswith(AUXILIARY)}
        missing = load_weights(module, kept, head=head, partial=model.partial, origin=model.weights)
    if model.train == "head":
        module.requires_grad_(False)
        module.get_submodule(head).requires_grad_(True)
    return Built(module, head, missing)


def train_mode(module: nn.Module, model: Model, head: str) -> None:
    """Switches to training; a frozen backbone stays in eval mode, so that its BatchNorm and dropout stand still."""
    if model.train == "head":
        module.eval()
        module.get_submodule(head).train()
    else:
        module.train()


def _construct(model: Model, classes: int, image_size: int) -> nn.Module:
    if model.name == "simple_cnn":
        return SimpleCNN(classes, batch_norm=model.batch_norm, dropout=model.dropout)
    if model.name not in (known := names()):
        near = difflib.get_close_matches(model.name, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"there are simple_cnn and {', '.join(known[1:])}"
        raise RequestError(f"model.name: no network `{model.name}`; {hint}")
    options: dict[str, object] = {}
    if model.name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True, "transform_input": False}
    elif model.name.startswith("vit_"):
        options = {"image_size": image_size}  # its position embedding has one entry per patch
    import torchvision  # not at the top: it takes a second, which simple_cnn can do without

    try:
        network: nn.Module = torchvision.models.get_model(model.name, weights=None, **options)
    except (ValueError, AssertionError) as error:
        raise RequestError(f"model.name: {model.name} at {image_size} px: {error}") from None
    return network


def _replace_head(module: nn.Module, classes: int) -> str:
    """Gives a torchvision classifier, whose last layer has ImageNet's 1,000 outputs, `classes` of them."""
    layers: list[tuple[str, nn.Linear | nn.Conv2d]] = [
        (name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    name, last = layers[-1]
    replacement: nn.Module
    if isinstance(last, nn.Linear):
        replacement = nn.Linear(last.in_features, classes)
    else:  # SqueezeNet classifies by a 1×1 convolution; its own initialisation (torchvision, squeezenet.py)
        replacement = nn.Conv2d(last.in_channels, classes, kernel_size=1)
        nn.init.normal_(replacement.weight, mean=0.0, std=0.01)
        # The ReLU that it has on its logits stops learning for every class whose logit is negative: with two classes
        # on frozen features that costs a quarter of the accuracy.
        module.set_submodule(f"{name.rpartition('.')[0]}.2", nn.Identity())
    module.set_submodule(name, replacement)
    return name
