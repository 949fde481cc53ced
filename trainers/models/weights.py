"""Finds and loads weights. No pickle is ever executed: safetensors, or torch.load with weights_only=True."""

import pickle
import re
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainers.errors import RequestError
from trainers.experiment import Model
from trainers.models.table import NETWORKS, nearest, torchvision_names


def resolve_weights(model: Model, cache: Path) -> dict[str, torch.Tensor] | None:
    """The weights that `model.weights` names, or None for `none`. Objects on S3 are kept under `cache`.

    Raises:
        RequestError: there is no such file, it holds no weights, or it would have to be downloaded without a network.
    """
    if model.weights == "none":
        return None
    if model.weights == "imagenet":
        return _imagenet(model.name)
    if model.weights.startswith("s3://"):
        from trainers.data.s3_files import fetch_object

        return read_weights(fetch_object(model.weights, cache, "model.weights"))
    return read_weights(Path(model.weights))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a `.safetensors` file, or from a state dict saved by `torch.save`.

    A state dict inside `{"state_dict": …}` or `{"model": …}` is found, a `module.` prefix (left by
    DistributedDataParallel) is taken off.

    Raises RequestError: the file is missing or holds anything but tensors.
    """
    if not path.is_file():
        raise RequestError(f"model.weights: no file {path}; give none, imagenet, a file or an s3:// object")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"model.weights: {path} is not a file of plain weights ({cause[:200]})") from None
    except Exception as error:  # safetensors' own exception type is not public in all versions
        raise RequestError(f"model.weights: {path} is not a readable safetensors file ({error})") from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise RequestError(f"model.weights: {path} holds no state dict (a mapping of names to tensors)")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def load_weights(
    module: nn.Module, weights: Mapping[str, torch.Tensor], *, head: str, partial: bool, origin: str
) -> tuple[str, ...]:
    """Loads weights into a network and returns the names of the parameters that stay as they were initialised.

    The last layer is taken only if it has the same shape; otherwise it starts fresh, which is what one wants of a
    classifier that was trained on other classes.

    Raises:
        RequestError: a layer other than the last is missing, has another shape or is unknown, and `partial` is False.
    """
    own = module.state_dict()
    # Old files lack BatchNorm's step counters, which matter only to a momentum of None.
    own = {name: value for name, value in own.items() if not name.endswith("num_batches_tracked")}
    fits = {name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}
    missing = [name for name in own if name not in fits]
    inside = [name for name in missing if not name.startswith(f"{head}.")]
    unknown = [name for name in weights if name not in own and not name.endswith("num_batches_tracked")]
    body = [name for name in own if not name.startswith(f"{head}.")]
    if not any(name in fits for name in body or own):  # a network of one layer is all head
        raise RequestError(f"model.weights: {origin} has no layer of this network; is it of another model.name?")
    if (inside or unknown) and not partial:
        lacks = f"lacks {_few(inside)}" if inside else ""
        extra = f"has unknown {_few(unknown)}" if unknown else ""
        raise RequestError(
            f"model.weights: {origin} {' and '.join(filter(None, (lacks, extra)))}; --model.partial=true allows it"
        )
    module.load_state_dict(fits, strict=False)
    return tuple(missing)


def _imagenet(name: str) -> dict[str, torch.Tensor]:
    import torchvision

    if name in NETWORKS:
        raise RequestError(f"model.weights: there are no ImageNet weights of {name}; use none or a file")
    if name not in torchvision_names():
        raise RequestError(f"model.name: no network `{name}`; {nearest(name, torchvision_names())}")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if file.is_file():
        # torchvision names its files by the first digits of their SHA-256: a truncated download is told, not loaded.
        _check_hash(file)
        return read_weights(file)
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        cause = getattr(error, "reason", None) or error
        raise RequestError(
            f"model.weights: imagenet weights of {name} could not be downloaded ({cause}); "
            f"fetch {weights.url} elsewhere and put it at {file}"
        ) from None
    return state


def _check_hash(file: Path) -> None:
    import hashlib

    wanted = re.search(r"-([0-9a-f]{8})\.", file.name)
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if wanted and not found.startswith(wanted.group(1)):
        raise RequestError(
            f"model.weights: {file} is damaged (its SHA-256 begins {found[:8]}); delete it and try again"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
