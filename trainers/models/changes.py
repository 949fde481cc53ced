"""What the options change in any network: outputs, dropout, layers taken out, how weights begin."""

from collections.abc import Callable, Collection
from functools import partial

import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.built import is_within
from trainers.models.heads import log_softmax
from trainers.models.table import nearest

INITS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "xavier": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "normal": partial(nn.init.normal_, std=0.02),
}


def change(network: nn.Module, head: str, model: Model) -> None:
    """Does what `model.output`, `model.dropout` and `model.remove` ask for.

    Raises RequestError: the network has no dropout layer, or a layer to be removed is not there or is the last one.
    """
    if model.output == "log-softmax":
        log_softmax(network, head)
    if model.dropout is not None:
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
        if not layers:
            raise RequestError(f"model.dropout: {model.name} has no dropout layer; leave it unset")
        for layer in layers:
            layer.p = model.dropout
    for name in model.remove:
        check_layer(network, name, "model.remove")
        if is_within(head, name) or is_within(name, head):
            raise RequestError(f"model.remove: {name} has the last layer, {head}, which stays; name another layer")
    for name in sorted(model.remove, reverse=True):  # a part comes before the whole that it is in
        network.set_submodule(name, nn.Identity())


def initialise(network: nn.Module, init: str, missing: Collection[str] | None) -> None:
    """Draws the weights of linear and convolutional layers anew, as `model.init` says, and sets their biases to 0.

    kaiming: He et al. 2015, normal, by the outputs; xavier: Glorot & Bengio 2010, uniform; orthogonal: Saxe et al.
    2014; normal: N(0, 0.02), Radford et al. 2016.

    Args:
        missing: names of the only parameters to be drawn; None for all.
    """
    if init == "default":
        return
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            continue
        if missing is None or f"{name}.weight" in missing:
            INITS[init](layer.weight)
        if layer.bias is not None and (missing is None or f"{name}.bias" in missing):
            nn.init.zeros_(layer.bias)


def check_layer(network: nn.Module, name: str, option: str) -> None:
    """Checks the name of a layer; raises RequestError: there is none of that name."""
    known = [layer for layer, _ in network.named_modules() if layer]
    if name not in known:
        top = [layer for layer in known if "." not in layer]
        raise RequestError(f"{option}: no layer `{name}`; {nearest(name, known, top)}")
