"""Trained models in use: one class per task, each for single inputs and for arrays of them."""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from trainers.data import Unreadable, decode
from trainers.data.normalise import Normalise
from trainers.errors import RequestError
from trainers.tasks.bundle import load_module, read_description

BATCH = 256  # samples in the network at a time
VECTOR = "a list of {} numbers"


@dataclass(frozen=True)
class Named:
    """The most probable class, and the probability of each in the order of the classes."""

    label: str
    probability: float
    probabilities: list[float]


@dataclass(frozen=True)
class Value:
    """Predicted numbers."""

    values: list[float]


@dataclass(frozen=True)
class Rebuilt:
    """An image's code in the latent space, and the mean squared error of what is made from it (pixels in 0…1)."""

    mse: float
    latent: list[float]


@dataclass(frozen=True)
class Sample:
    """A generated image, as the bytes of a PNG file."""

    image: bytes


Prediction = Named | Value | Rebuilt | Sample


class Predictor(ABC):
    """A trained model that answers.

    An input is an image (a file's path, or its bytes), a vector of numbers, or for a GAN a seed.

    Attributes:
        shape: of a sample: (C, H, W), or (D,) for vectors.
        classes: names, in the order of the outputs; none where no classes are told apart.
        fit: how an image becomes square.
    """

    answer: ClassVar[type[Prediction]]

    def __init__(self, module: nn.Module, description: dict[str, Any], device: torch.device) -> None:
        self.module, self.description, self.device = module, description, device
        self.shape: tuple[int, ...] = tuple(description["shape"])
        self.classes: tuple[str, ...] = tuple(description["classes"])
        self.fit = description["fit"]
        self.normalise = Normalise.of(description["normalise"], self.shape[0] if len(self.shape) == 3 else 1)

    @property
    def takes_images(self) -> bool:
        """Whether an input is an image, and not a vector."""
        return len(self.shape) == 3

    def predict(self, inputs: Sequence[Any]) -> list[Prediction | Unreadable]:
        """Answers for inputs, in order; in the place of one that cannot be read stands the reason."""
        read = self._image if self.takes_images else self._vector
        arrays = [read(one) for one in inputs]
        sound = [array for array in arrays if isinstance(array, np.ndarray)]
        answers = iter(self.answer_all(np.stack(sound)) if sound else [])
        return [array if isinstance(array, Unreadable) else next(answers) for array in arrays]

    def answer_all(self, inputs: np.ndarray) -> list[Prediction]:
        """Answers for an array of inputs: bytes [n, H, W, C], or float32 [n, D]."""
        batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
        return [answer for batch in batches for answer in self._answer(self._tensor(batch))]

    @abstractmethod
    def _answer(self, inputs: torch.Tensor) -> list[Prediction]:
        """Answers for one batch as the network takes it."""

    def map(self, inputs: np.ndarray, function: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """A function of normalised inputs, over an array of inputs of any length, in batches."""
        with torch.inference_mode():
            parts = [
                function(self._tensor(inputs[start : start + BATCH])).float().cpu().numpy()
                for start in range(0, len(inputs), BATCH)
            ]
        return np.concatenate(parts)

    def _tensor(self, inputs: np.ndarray) -> torch.Tensor:
        batch = torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device)
        return self.normalise(batch) if self.takes_images else batch

    def _image(self, image: bytes | str | Path) -> "np.ndarray | Unreadable":
        try:
            content = image if isinstance(image, bytes) else Path(image).read_bytes()
            return decode(content, self.shape[1], self.fit, self.shape[0])
        except Unreadable as error:
            return error
        except OSError as error:
            return Unreadable(error.strerror or str(error))

    def _vector(self, numbers: Sequence[float]) -> "np.ndarray | Unreadable":
        try:
            vector = np.asarray(numbers, dtype=np.float32)
        except (TypeError, ValueError):
            vector = np.zeros(0, dtype=np.float32)
        if vector.shape != self.shape or not np.isfinite(vector).all():
            return Unreadable(f"not {VECTOR.format(self.shape[0])}")
        return vector


class Classifier(Predictor):
    """Tells classes apart."""

    answer = Named

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Probability of each class [n, C] for an array of inputs."""
        return self.map(inputs, lambda batch: self.module(batch).float().softmax(dim=1))

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """What the last layer sees [n, F], for networks that tell (`cnn`).

        Raises:
            RequestError: this network does not.
        """
        features = getattr(self.module, "features", None)
        if features is None or isinstance(features, nn.Module):
            name = self.description["model"]["name"]
            raise RequestError(f"gan.classifier: {name} does not give its features; train one with --model.name cnn")
        return self.map(inputs, features)

    @torch.inference_mode()
    def _answer(self, inputs: torch.Tensor) -> list[Prediction]:
        rows = self.module(inputs).float().softmax(dim=1).tolist()
        return [Named(self.classes[best], row[best], row) for row in rows for best in [row.index(max(row))]]


class Regressor(Predictor):
    """Predicts numbers."""

    answer = Value

    def values(self, inputs: np.ndarray) -> np.ndarray:
        """Predictions [n, T] for an array of inputs."""
        return self.map(inputs, self.module)

    @torch.inference_mode()
    def _answer(self, inputs: torch.Tensor) -> list[Prediction]:
        return [Value(row) for row in self.module(inputs).float().tolist()]


class Autoencoder(Predictor):
    """Encodes images and gives them back."""

    answer = Rebuilt

    def reconstructions(self, images: np.ndarray) -> np.ndarray:
        """What becomes of images, bytes [n, H, W, C] to the same."""
        rebuilt = self.map(images, self.module)
        return self.normalise.undo(torch.from_numpy(rebuilt)).numpy()

    def errors(self, images: np.ndarray) -> np.ndarray:
        """Mean squared error of each image [n], pixels in 0…1."""
        return self.map(images, lambda batch: (self.module(batch) - batch).square().flatten(1).mean(dim=1))

    @torch.inference_mode()
    def _answer(self, inputs: torch.Tensor) -> list[Prediction]:
        latent = self.module.encode(inputs)  # type: ignore[operator]
        error = (self.module.decode(latent) - inputs).square().flatten(1).mean(dim=1)  # type: ignore[operator]
        pairs = zip(error.tolist(), latent.float().tolist(), strict=True)
        return [Rebuilt(mse, code) for mse, code in pairs]


class Sampler(Predictor):
    """Makes images: a GAN's generator."""

    answer = Sample

    def predict(self, inputs: Sequence[Any]) -> list[Prediction | Unreadable]:
        """One image for each seed."""
        return [Sample(_png(self.sample(1, int(seed))[0])) for seed in inputs]

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Images, bytes [count, H, W, C], the same for the same seed."""
        from trainers.tasks.adversarial import generate, noise

        codes = noise(count, self.module.latent, seed).to(self.device)  # type: ignore[arg-type]
        return self.normalise.undo(generate(self.module, codes)).cpu().numpy()

    def _answer(self, inputs: torch.Tensor) -> list[Prediction]:
        raise NotImplementedError("a GAN takes seeds, not images")


PREDICTORS: dict[str, type[Predictor]] = {
    "classification": Classifier,
    "regression": Regressor,
    "autoencoding": Autoencoder,
    "adversarial": Sampler,
}


def load_predictor(folder: Path, device: torch.device | None = None) -> Predictor:
    """The trained model in a folder, by default on the GPU if there is one.

    Raises:
        RequestError: the folder holds none, or one of another version.
    """
    description = read_description(folder)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return PREDICTORS[description["task"]](load_module(folder, description, device), description, device)


def as_columns(prediction: Prediction) -> dict[str, Any]:
    """A prediction as plain values by name."""
    return asdict(prediction)


def _png(image: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "PNG")
    return file.getvalue()
