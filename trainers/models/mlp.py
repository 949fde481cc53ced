"""Fully connected networks. Each takes samples of any shape, images and vectors alike, and flattens them first."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from trainers.data import Shape

# The widths of LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition", section III-C.4:
# 784-300-100-10 on MNIST.
LENET_300_100 = (300, 100)


def mlp(
    shape: Shape,
    hidden: Sequence[int],
    outputs: int,
    *,
    relu: bool = True,
    batch_norm: bool = False,
    dropout: bool = False,
) -> nn.Sequential:
    """Linear layers with the given hidden widths; samples [N, *shape] to [N, outputs].

    The layers are named flatten, linear1, norm1, relu1, dropout1, linear2, … to the last linear layer.

    Args:
        relu: a ReLU after each hidden layer; without, the whole is one linear map in several factors.
        batch_norm: BatchNorm before each ReLU (Ioffe & Szegedy 2015, section 3.2).
        dropout: a dropout layer after each ReLU, which drops nothing until `model.dropout` is set.
    """
    widths = [math.prod(shape), *hidden]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (inputs, width) in enumerate(zip(widths, hidden, strict=False), start=1):
        # A bias before BatchNorm would be subtracted again with the mean.
        layers[f"linear{number}"] = nn.Linear(inputs, width, bias=not batch_norm)
        if batch_norm:
            layers[f"norm{number}"] = nn.BatchNorm1d(width)
        if relu:
            layers[f"relu{number}"] = nn.ReLU()
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(0.0)
    layers[f"linear{len(widths)}"] = nn.Linear(widths[-1], outputs)
    return nn.Sequential(layers)
