"""Trained models in use, each for single inputs and for arrays of them; the classes are their tasks'."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from trainers.data import Pack, Unreadable, decode
from trainers.data.normalise import Normalise

BATCH = 256  # samples in the network at a time


class Predictor(ABC):
    """A trained model that answers.

    An input is an image (a file's path, or its bytes), a vector of numbers, or for a GAN a seed.

    Attributes:
        module: the network, on the `device`.
        description: the content of its `model.json`.
        shape: of a sample: (C, H, W), or (D,) for vectors.
        classes: names, in the order of the outputs; none where no classes are told apart.
        fit: how an image becomes square.
    """

    # A dataclass of strings, numbers, lists of numbers or bytes, from which MLflow's signature is made; its `str` is
    # what `predict` prints.
    answer: ClassVar[type[Any]]

    def __init__(self, module: nn.Module, description: dict[str, Any], device: torch.device) -> None:
        self.module, self.description, self.device = module.to(device).eval(), description, device
        self.shape: tuple[int, ...] = tuple(description["shape"])
        self.classes: tuple[str, ...] = tuple(description["classes"])
        self.fit = description["fit"]
        self.normalise = Normalise.of(description["normalise"], self.shape[0] if len(self.shape) == 3 else 1)

    @property
    def takes_images(self) -> bool:
        """Whether an input is an image, and not a vector."""
        return len(self.shape) == 3

    @abstractmethod
    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """Answers for inputs, in order: each an `answer`, or Unreadable, which is given and not raised.

        Raises TypeError: an input is of another kind.
        """


class Estimator(Predictor):
    """A predictor whose inputs are samples, images or vectors, so that a split of them measures it."""

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """As `Predictor.predict`; a vector that is not finite or of another length is Unreadable, too."""
        read = self._image if self.takes_images else self._vector
        arrays = [read(one) for one in inputs]
        sound = [array for array in arrays if isinstance(array, np.ndarray)]
        answers = iter(self.answer_all(np.stack(sound)) if sound else [])
        return [array if isinstance(array, Unreadable) else next(answers) for array in arrays]

    def answer_all(self, inputs: np.ndarray) -> list[Any]:
        """Answers for an array of inputs: bytes [n, H, W, C], or float32 [n, D]."""
        batches = (inputs[start : start + BATCH] for start in range(0, len(inputs), BATCH))
        with torch.inference_mode():
            return [answer for batch in batches for answer in self._answer(self._tensor(batch))]

    @abstractmethod
    def measure(self, pack: Pack, indices: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
        """Metrics on samples of a pack, places [n], by name, and what they come from: an answer for each [n, K]."""

    @abstractmethod
    def _answer(self, inputs: torch.Tensor) -> list[Any]:
        """Answers for one batch as the network takes it."""

    def map(self, inputs: np.ndarray, function: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """What a function of normalised inputs, [m, …] to [m, …], gives for inputs of any number n > 0, in batches.

        Inputs are bytes [n, H, W, C] or float32 [n, D], of which it sees floats [m, C, H, W] or [m, D] on the device.
        """
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
            return Unreadable(f"not a list of {self.shape[0]} numbers")
        return vector
