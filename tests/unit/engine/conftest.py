"""A pack in memory and a loop over it, for tests of the engine alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.data import Pack, Splits
from trainers.engine import CheckpointStore, Job, World
from trainers.engine.job import _batches, _learner
from trainers.engine.loop import Loop
from trainers.experiment import Experiment
from trainers.models import build
from trainers.tasks import describe, outputs_of

SIDE = 16


def make_pack(count: int = 48) -> Pack:
    """Two classes that differ in the brightness of a corner."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 200, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1, :6, :6] += 55
    return pack_of(images, labels=labels, classes=("dark", "bright"))


def make_curve(count: int = 48) -> Pack:
    """Numbers and their squares."""
    numbers = np.linspace(-1, 1, count, dtype=np.float32)[:, None]
    return pack_of(numbers, values=numbers**2)


def pack_of(
    inputs: np.ndarray,
    *,
    labels: np.ndarray | None = None,
    values: np.ndarray | None = None,
    classes: tuple[str, ...] = (),
) -> Pack:
    count = len(inputs)
    return Pack(
        inputs=inputs,
        labels=np.zeros(count, np.int64) if labels is None else labels.astype(np.int64),
        values=values,
        names=[f"{index}.png" for index in range(count)],
        given=np.full(count, -1, np.int8),
        classes=classes,
        unreadable=[],
        fingerprint="0",
        key="0",
        folder=Path(),
        originals=np.zeros((count, 2), np.int64),
    )


@pytest.fixture
def pack() -> Pack:
    return make_pack()


@pytest.fixture
def make_loop(pack, tmp_path) -> Callable[..., Loop]:
    def make(over: Pack = pack, **options: dict) -> Loop:
        return loop_over(over, tmp_path / "checkpoints", World(), **options)

    return make


def loop_over(pack: Pack, folder: Path, world: World, **options: dict) -> Loop:
    experiment = Experiment.model_validate(
        {
            "data": {"image_size": SIDE, **options.pop("data", {})},
            "training": {"epochs": 3, "batch_size": 16, **options.pop("training", {})},
            **options,
        }
    )
    torch.manual_seed(experiment.seed)
    built = build(experiment.model, pack.shape, outputs_of(pack), task=experiment.task)
    indices = np.arange(len(pack.labels))
    splits = Splits(indices[:-8], indices[-8:], indices[-8:])
    batches = _batches(experiment, pack, splits, world)
    learner = _learner(Job(experiment, folder, folder, pack.key), built, batches, world)
    store = CheckpointStore(folder, describe(experiment, pack))
    return Loop(experiment, learner, batches, torch.from_numpy(splits.validation), world, store)
