"""torchvision's classifiers, their last layer fitted to what is to be predicted."""

from torch import nn

from trainers.data import Shape
from trainers.errors import RequestError

# Networks with a second classifier that only helps training from scratch; it is left out, its weights are ignored.
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


def make_classifier(name: str, shape: Shape, outputs: int) -> nn.Module:
    """torchvision's network of that name for images of this shape (3, H, W), without weights.

    Raises:
        RequestError: the images are not in colour, or the network cannot be made for their size.
    """
    if shape[0] != 3:
        raise RequestError(f"data.channels: {name} wants rgb; set data.channels rgb")
    options: dict[str, object] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True, "transform_input": False}
    elif name.startswith("vit_"):
        options = {"image_size": shape[-1]}  # its position embedding has one entry per patch
    import torchvision

    try:
        network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    except (ValueError, AssertionError) as error:
        raise RequestError(f"model.name: {name} at {shape[-1]} px: {error}") from None
    _replace_head(network, outputs)
    return network


def last_layer(network: nn.Module) -> str:
    """Name of the last layer with weights, the head."""
    kinds = nn.Linear | nn.Conv2d | nn.ConvTranspose2d
    layers: list[str] = [name for name, layer in network.named_modules() if isinstance(layer, kinds)]
    return layers[-1]


def _replace_head(network: nn.Module, outputs: int) -> None:
    """Gives a network, whose last layer has ImageNet's 1,000 outputs, others of them."""
    name = last_layer(network)
    last = network.get_submodule(name)
    replacement: nn.Module
    if isinstance(last, nn.Linear):
        replacement = nn.Linear(last.in_features, outputs)
    else:  # SqueezeNet classifies by a 1×1 convolution; its own initialisation (torchvision, squeezenet.py)
        assert isinstance(last, nn.Conv2d)
        replacement = nn.Conv2d(last.in_channels, outputs, kernel_size=1)
        nn.init.normal_(replacement.weight, mean=0.0, std=0.01)
        # The ReLU that it has on its logits stops learning for every class whose logit is negative: with two classes
        # on frozen features that costs a quarter of the accuracy.
        network.set_submodule(f"{name.rpartition('.')[0]}.2", nn.Identity())
        # What is left is linear, so that the average over all places may as well be taken before it: the logits are
        # the same, of 512 numbers instead of 512 maps. The average at the end then has one place to go over.
        features = network.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        features.append(nn.AdaptiveAvgPool2d(1))
    network.set_submodule(name, replacement)
