"""A trained classifier in a folder: what is registered, and what `predict` and `evaluate` load.

The folder holds `model.json` (network, classes, preprocessing) and `weights.safetensors`, so that loading it runs no
code but this library's.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.data import Unreadable, decode
from trainers.data.augment import normalise
from trainers.errors import RequestError
from trainers.experiment import Experiment, Model
from trainers.models import build

FORMAT = 1
DESCRIPTION = "model.json"
WEIGHTS = "weights.safetensors"
BATCH = 256  # images in the network at a time


@dataclass(frozen=True)
class Prediction:
    """The most probable class of one image, and the probability of each class in the order of the classes."""

    label: str
    probability: float
    probabilities: list[float]


def describe(experiment: Experiment, classes: Sequence[str]) -> dict[str, Any]:
    """What must be known of a classifier, besides its weights, to use it: the content of `model.json`."""
    return {
        "format": FORMAT,
        "task": "classification",
        "model": experiment.model.model_dump(include={"name", "batch_norm", "dropout"}),
        "classes": list(classes),
        "image_size": experiment.data.image_size,
        "fit": experiment.data.fit,
    }


def copy_bundle(checkpoint: Path, folder: Path) -> Path:
    """Copies a classifier, without what only training needs, to a new folder."""
    folder.mkdir(parents=True)
    for name in (DESCRIPTION, WEIGHTS):
        shutil.copyfile(checkpoint / name, folder / name)
    return folder


class Predictor:
    """Classifies images given as file paths or as the bytes of an image file.

    Attributes:
        classes: names, in the order of the outputs.
        image_size: side in pixels to which images are brought.
        fit: how an image becomes square.
    """

    def __init__(self, module: nn.Module, description: dict[str, Any], device: torch.device) -> None:
        self.module = module.to(device).eval()
        self.device = device
        self.classes: tuple[str, ...] = tuple(description["classes"])
        self.image_size: int = description["image_size"]
        self.fit = description["fit"]

    @classmethod
    def load(cls, folder: Path, device: torch.device | None = None) -> "Predictor":
        """Loads a classifier, by default to the GPU if there is one.

        Raises:
            RequestError: the folder holds none, or one of another version.
        """
        from safetensors.torch import load_file

        try:
            description = json.loads((folder / DESCRIPTION).read_text())
        except (OSError, ValueError):
            raise RequestError(f"{folder} holds no trained model ({DESCRIPTION} and {WEIGHTS})") from None
        if description.get("format") != FORMAT:
            raise RequestError(
                f"{folder} has format {description.get('format')}, this version of trainers reads {FORMAT}"
            )
        built = build(Model(**description["model"]), len(description["classes"]), description["image_size"])
        built.module.load_state_dict(load_file(folder / WEIGHTS))
        return cls(built.module, description, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def predict(self, images: Sequence[bytes | str | Path]) -> list[Prediction | Unreadable]:
        """Classifies images, in order; in the place of one that cannot be read stands the reason."""
        decoded = [self._decode(image) for image in images]
        sound = [image for image in decoded if isinstance(image, np.ndarray)]
        rows = iter(self.probabilities(np.stack(sound)).tolist() if sound else [])
        return [image if isinstance(image, Unreadable) else self._named(next(rows)) for image in decoded]

    @torch.inference_mode()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Probability of each class [n, C] for images as bytes [n, size, size, 3]."""
        rows = []
        for start in range(0, len(images), BATCH):
            batch = normalise(torch.from_numpy(images[start : start + BATCH]).to(self.device))
            rows.append(self.module(batch).float().softmax(dim=1).cpu().numpy())
        return np.concatenate(rows)

    def _decode(self, image: bytes | str | Path) -> "np.ndarray | Unreadable":
        try:
            content = image if isinstance(image, bytes) else Path(image).read_bytes()
            return decode(content, self.image_size, self.fit)
        except Unreadable as error:
            return error
        except OSError as error:
            return Unreadable(error.strerror or str(error))

    def _named(self, row: list[float]) -> Prediction:
        best = max(range(len(row)), key=row.__getitem__)
        return Prediction(self.classes[best], row[best], row)
