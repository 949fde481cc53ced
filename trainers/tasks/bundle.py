"""A trained model in a folder: `model.json` says what it is, `weights.safetensors` holds its weights.

That is what a checkpoint is, what is registered, and what the predictors load: loading it runs no code but this
library's.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from torch import nn

from trainers.data import Pack
from trainers.errors import RequestError
from trainers.experiment import Experiment, Model
from trainers.models import build

FORMAT = 2
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"

# The options that decide what a network is made of; the others concern its training alone.
_STRUCTURE = {"name", "hidden", "latent", "batch_norm", "dropout", "remove", "output"}


def describe(experiment: Experiment, pack: Pack) -> dict[str, Any]:
    """What must be known of a model, besides its weights, to use it: the content of `model.json`."""
    return {
        "format": FORMAT,
        "task": experiment.task,
        "model": experiment.model.model_dump(include=_STRUCTURE),
        "shape": list(pack.shape),
        "outputs": outputs_of(pack),
        "classes": list(pack.classes),
        "fit": experiment.data.fit,
        "normalise": experiment.data.normalise,
        "loss": experiment.loss,
    }


def outputs_of(pack: Pack) -> int:
    """How many numbers a network must give per sample: classes, or values to predict."""
    return len(pack.classes) if pack.values is None else pack.values.shape[1]


def copy_bundle(checkpoint: Path, folder: Path) -> Path:
    """Copies a model, without what only training needs, to a new folder; raises OSError."""
    folder.mkdir(parents=True)
    for name in (DESCRIPTION, WEIGHTS):
        shutil.copyfile(checkpoint / name, folder / name)
    return folder


def read_description(folder: Path) -> dict[str, Any]:
    """The content of a bundle's `model.json`.

    Raises RequestError: the folder holds no bundle, or one of another version.
    """
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
    except (OSError, ValueError):
        raise RequestError(f"{folder} holds no trained model ({DESCRIPTION} and {WEIGHTS})") from None
    if description.get("format") != FORMAT:
        raise RequestError(f"{folder} has format {description.get('format')}, this version of trainers reads {FORMAT}")
    return description


def load_module(folder: Path, description: dict[str, Any]) -> nn.Module:
    """The network of a bundle with its weights, on the CPU.

    Raises:
        RequestError: there is no network of that name.
        OSError, SafetensorError: the weights cannot be read.
        RuntimeError: they are another network's.
    """
    from safetensors.torch import load_file

    options = Model.model_validate(description["model"])
    module = build(options, tuple(description["shape"]), description["outputs"], task=description["task"]).module
    module.load_state_dict(load_file(folder / WEIGHTS))
    return module
