"""The last layer of a network, its head: found, and fitted to what is to be predicted."""

import torch
from torch import nn


class LogSoftmaxLinear(nn.Linear):
    """A last layer that puts out log-probabilities; its parameters have the names of a plain one's."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Features [N, F] to log-probabilities [N, classes]."""
        return super().forward(features).log_softmax(dim=1)


def last_layer(network: nn.Module) -> str:
    """Name of the last layer with weights, the head."""
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    layers: list[str] = [name for name, layer in network.named_modules() if isinstance(layer, kinds)]
    return layers[-1]


def replace_head(network: nn.Module, outputs: int) -> None:
    """Gives a network of torchvision, whose last layer has ImageNet's 1,000 outputs, others of them.

    torchvision's own `num_classes` is not used, since with it each family draws its last layer in a way of its own.
    """
    name = last_layer(network)
    last = network.get_submodule(name)
    if isinstance(last, nn.Linear):
        network.set_submodule(name, nn.Linear(last.in_features, outputs))
    else:
        _replace_convolution(network, name, outputs)


def log_softmax(network: nn.Module, head: str) -> None:
    """Makes a network put out log-probabilities in the place of logits."""
    last = network.get_submodule(head)
    if isinstance(last, nn.Linear):
        replacement = LogSoftmaxLinear(last.in_features, last.out_features)
        replacement.load_state_dict(last.state_dict())
        network.set_submodule(head, replacement)
    else:  # SqueezeNet averages its class maps after the last convolution, in the same Sequential
        parent = network.get_submodule(head.rpartition(".")[0])
        assert isinstance(parent, nn.Sequential)
        parent.append(nn.LogSoftmax(dim=1))


def _replace_convolution(squeezenet: nn.Module, name: str, outputs: int) -> None:
    """SqueezeNet classifies by a 1×1 convolution."""
    last, features = squeezenet.get_submodule(name), squeezenet.get_submodule("features")
    assert isinstance(last, nn.Conv2d)
    assert isinstance(features, nn.Sequential)
    replacement = nn.Conv2d(last.in_channels, outputs, kernel_size=1)
    nn.init.normal_(replacement.weight, mean=0.0, std=0.01)  # its own initialisation (torchvision, squeezenet.py)
    # The ReLU that it has on its logits stops learning for every class whose logit is negative: with two classes
    # on frozen features that costs a quarter of the accuracy.
    squeezenet.set_submodule(f"{name.rpartition('.')[0]}.2", nn.Identity())
    # What is left is linear, so that the average over all places may as well be taken before it: the logits are
    # the same, of 512 numbers instead of 512 maps. The average at the end then has one place to go over.
    features.append(nn.AdaptiveAvgPool2d(1))
    squeezenet.set_submodule(name, replacement)
