"""The networks by name. Adding one is a small file with its class, and a line in `NETWORKS`."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from torch import nn

from trainers.catalogue import TASKS
from trainers.data import Shape
from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.autoencoder import conv_autoencoder, mlp_autoencoder
from trainers.models.cifar import CifarResNet, CifarVGG
from trainers.models.cnn import CNN
from trainers.models.gan import dcgan, mlp_gan
from trainers.models.mlp import LENET_300_100, mlp
from trainers.models.simple_cnn import SimpleCNN


@dataclass(frozen=True)
class Network:
    """How a network is made: from the options, the shape of one sample, and the number of classes or values.

    Attributes:
        make: makes it.
        kind: what it does with a sample: predicts something, gives it back, or makes others like it.
        vectors: whether it takes vectors as well as images.
    """

    make: Callable[[Model, Shape, int], nn.Module]
    kind: str = "predicting"
    vectors: bool = False


def _cifar(kind: Callable[[int, int, int], nn.Module], depth: int) -> Network:
    return Network(lambda model, shape, outputs: kind(depth, shape[0], outputs))


NETWORKS: dict[str, Network] = {
    "linear": Network(lambda model, shape, outputs: mlp(shape, (), outputs), vectors=True),
    "linear_mlp": Network(lambda model, shape, outputs: mlp(shape, LENET_300_100, outputs, relu=False), vectors=True),
    "relu_mlp": Network(lambda model, shape, outputs: mlp(shape, LENET_300_100, outputs), vectors=True),
    "batchnorm_mlp": Network(
        lambda model, shape, outputs: mlp(shape, LENET_300_100, outputs, batch_norm=True), vectors=True
    ),
    "mlp": Network(
        lambda model, shape, outputs: mlp(shape, model.hidden, outputs, batch_norm=model.batch_norm, dropout=True),
        vectors=True,
    ),
    "cnn": Network(lambda model, shape, outputs: CNN(shape, outputs)),
    "simple_cnn": Network(
        lambda model, shape, outputs: SimpleCNN(outputs, channels=shape[0], batch_norm=model.batch_norm)
    ),
    **{f"cifar_vgg{depth}": _cifar(CifarVGG, depth) for depth in (11, 16)},
    **{f"cifar_resnet{depth}": _cifar(CifarResNet, depth) for depth in (20, 32, 44, 56)},
    "mlp_autoencoder": Network(lambda model, shape, _: mlp_autoencoder(shape, model.latent), "autoencoder"),
    "conv_autoencoder": Network(lambda model, shape, _: conv_autoencoder(shape, model.latent), "autoencoder"),
    "mlp_gan": Network(lambda model, shape, _: mlp_gan(shape, model.latent), "gan"),
    "dcgan": Network(lambda model, shape, _: dcgan(shape, model.latent), "gan"),
}


def network_names(task: str) -> list[str]:
    """Every name that `model.name` may have in this task: this library's networks, then torchvision's."""
    kind = TASKS[task].network
    own = [name for name, network in NETWORKS.items() if network.kind == kind]
    return own + (torchvision_names() if kind == "predicting" else [])


@cache
def torchvision_names() -> list[str]:
    """torchvision's classifiers."""
    import torchvision  # not at the top: it takes a second, which this library's networks can do without

    found: list[str] = torchvision.models.list_models(module=torchvision.models)
    return found


def find_network(name: str, task: str) -> Network | None:
    """The network of this library with that name, or None for one of torchvision's.

    Raises RequestError: there is none, or it is for another task.
    """
    network = NETWORKS.get(name)
    if network is None and name not in torchvision_names():
        raise RequestError(f"model.name: no network `{name}`; {nearest(name, network_names(task))}")
    if TASKS[task].network != (network.kind if network else "predicting"):
        raise RequestError(f"model.name: {name} is not for {task}; there are {', '.join(network_names(task))}")
    return network


def nearest(name: str, known: list[str], shown: list[str] | None = None) -> str:
    """What somebody may have meant by an unknown name, as the end of a message; failing that, what there is."""
    near = difflib.get_close_matches(name, known, n=3)
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(shown or known)}"
