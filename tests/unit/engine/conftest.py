"""A pack in memory and a loop over it, for tests of the engine alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.data.batches import Samples
from trainers.data.pack import Pack
from trainers.engine import CheckpointStore, World
from trainers.engine.loop import Loop
from trainers.experiment import Experiment
from trainers.models import build
from trainers.tasks import Classification, describe

SIDE = 16


def make_pack(count: int = 48) -> Pack:
    """Two classes that differ in the brightness of a corner."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 200, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1, :6, :6] += 55
    return Pack(
        images=images,
        labels=labels.astype(np.int64),
        names=[f"{index}.png" for index in range(count)],
        given=np.full(count, -1, np.int8),
        classes=("dark", "bright"),
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
    def make(**options: dict) -> Loop:
        return loop_over(pack, tmp_path / "checkpoints", World(), **options)

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
    built = build(experiment.model, len(pack.classes), SIDE)
    indices = torch.arange(len(pack.labels))
    return Loop(
        experiment,
        built,
        Classification(experiment.training.label_smoothing),
        Samples(pack, world.device),
        indices[:-8],
        indices[-8:],
        world,
        CheckpointStore(folder, describe(experiment, pack.classes)),
    )
