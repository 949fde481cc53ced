"""Builds a network from its options."""

import torch

from trainers.catalogue import TASKS
from trainers.data import Shape
from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.built import Built, is_within, layer_groups
from trainers.models.changes import change, initialise
from trainers.models.classifiers import AUXILIARY, make_classifier
from trainers.models.freezing import freeze
from trainers.models.heads import last_layer
from trainers.models.table import NETWORKS, Network, find_network
from trainers.models.weights import load_weights


def build(
    model: Model,
    shape: Shape,
    outputs: int,
    weights: dict[str, torch.Tensor] | None = None,
    *,
    task: str = "classification",
) -> Built:
    """The network as the options ask for it: changed, given weights loaded, the rest initialised, layers frozen.

    Draws its initial weights from torch's global generator: seed it first.

    Args:
        model: the options.
        shape: of one sample, (C, H, W) or (D,).
        outputs: number of classes, or of values to be predicted; an autoencoder or a GAN has none.
        weights: tensors by name; None to start from scratch.
        task: what the network is for.

    Raises:
        RequestError: the name is not known or not for this task, the samples or an option do not suit the network, or
            the weights do not fit.
    """
    network = find_network(model.name, task)
    _check(model, network, shape, task)
    module = network.make(model, shape, outputs) if network else make_classifier(model.name, shape, outputs)
    head = last_layer(module)
    change(module, head, model)
    missing: tuple[str, ...] = ()
    if weights is not None:
        kept = {
            name: tensor
            for name, tensor in weights.items()
            if not name.startswith(AUXILIARY) and not any(is_within(name, layer) for layer in model.remove)
        }
        missing = load_weights(module, kept, head=head, partial=model.partial, origin=model.weights)
    initialise(module, model.init, None if weights is None else missing)
    built = Built(module, head, missing, layer_groups(module))
    freeze(built, model)
    fresh = [name for name, parameter in module.named_parameters() if name in missing and not parameter.requires_grad]
    if fresh:
        raise RequestError(
            f"model.freeze: {fresh[0]} would be frozen as it begins, since {model.weights} lacks it; "
            "set model.train all, and name in model.freeze what the file has"
        )
    return built


def _check(model: Model, network: Network | None, shape: Shape, task: str) -> None:
    """Refuses options that the network or the task has no use for, rather than ignore them."""
    if len(shape) == 1 and not (network and network.vectors):
        able = ", ".join(name for name, other in NETWORKS.items() if other.vectors)
        raise RequestError(f"model.name: {model.name} takes images, and the samples are vectors; take one of {able}")
    if model.train == "head" and TASKS[task].network != "predicting":
        raise RequestError(f"model.train: head is not for {task}, whose networks have no head; set model.train all")
    if TASKS[task].network == "gan" and (model.freeze or model.freeze_groups):
        raise RequestError("model.freeze: is not for adversarial, where each network learns from the other")
