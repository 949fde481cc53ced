"""torchvision's classifiers, for images and outputs as they are wanted."""

from torch import nn

from trainers.data import Shape
from trainers.errors import RequestError
from trainers.models.heads import replace_head

# Networks with a second classifier that only helps training from scratch; it is left out, its weights are ignored.
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")


def make_classifier(name: str, shape: Shape, outputs: int) -> nn.Module:
    """torchvision's network of that name for images of this shape (3, H, W), without weights.

    Raises RequestError: the images are not in colour, or the network cannot be made for their size.
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
    replace_head(network, outputs)
    return network
