"""What `Samples` needs of a pack, made of random images or vectors, for the tests of batches."""

from types import SimpleNamespace

import numpy as np
import torch

from trainers.data.normalise import Normalise
from trainers.data.samples import Samples
from trainers.data.training_batches import TrainingBatches
from trainers.experiment import Augment

CPU = torch.device("cpu")
CLASSES = 3


def make_samples(count: int = 48, side: int = 16, channels: int = 3) -> Samples:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    pack = SimpleNamespace(inputs=inputs, labels=np.arange(count) % CLASSES, values=None)
    return Samples(pack, CPU, Normalise.of("imagenet", channels))


def make_vectors(count: int = 48) -> Samples:
    random = np.random.default_rng(0)
    inputs, values = (random.normal(size=(count, width)).astype(np.float32) for width in (2, 1))
    return Samples(
        SimpleNamespace(inputs=inputs, labels=np.zeros(count, np.int64), values=values), CPU, Normalise.of("unit", 1)
    )


def batches(samples: Samples, augment: Augment, *, size: int = 16, count: int = 40, **world: int) -> TrainingBatches:
    return TrainingBatches(
        samples, torch.arange(count), global_batch=size, augment=augment, seed=7, classes=CLASSES, **world
    )


def seen(loader: TrainingBatches, epoch: int, micro: int | None = None) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The inputs and the targets of an epoch's batches, as the network gets them, each batch in one piece."""
    return [
        tuple(torch.cat(parts) for parts in zip(*batch.micro_batches(micro), strict=True))
        for batch in loader.epoch(epoch)
    ]
