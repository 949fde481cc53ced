"""Tiny problems in memory, one for each task, and loops over them: for tests of the engine and of trained models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from trainers.data import Pack, SplitIndices
from trainers.engine import CheckpointStore, Job, World
from trainers.engine.job import limits_of, make_batches, make_learner
from trainers.engine.loop import Loop
from trainers.events import EpochDone
from trainers.experiment import Experiment
from trainers.models import build
from trainers.tasks import describe, outputs_of
from trainers.tasks.bundle import DESCRIPTION, WEIGHTS

SIDE = 16
HELD_OUT = 8  # samples that are both validation and test

# What each problem asks for, besides three epochs of batches of 16.
PROBLEMS: dict[str, dict[str, dict[str, Any] | str]] = {
    "images": {},
    "vectors": {"data": {"source": "spiral"}, "model": {"name": "mlp", "hidden": [16]}},
    "regression": {"task": "regression", "data": {"source": "curve"}, "model": {"name": "mlp", "hidden": [16]}},
    "autoencoding": {
        "task": "autoencoding",
        "data": {"normalise": "unit"},
        "model": {"name": "mlp_autoencoder", "latent": 4},
    },
    "adversarial": {
        "task": "adversarial",
        "data": {"normalise": "symmetric"},
        "model": {"name": "mlp_gan", "latent": 4, "dropout": 0},
        "gan": {"samples": 64},
    },
}


def make_pack(count: int = 48) -> Pack:
    """Two classes of images that differ in the brightness of a corner."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = random.integers(0, 200, (count, SIDE, SIDE, 3), dtype=np.uint8)
    images[labels == 1, :6, :6] += 55
    return pack_of(images, labels=labels, classes=("dark", "bright"))


def make_points(count: int = 48) -> Pack:
    """Two classes of points in the plane, either side of a line."""
    points = np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)
    return pack_of(points, labels=points.sum(axis=1) > 0, classes=("below", "above"))


def make_curve(count: int = 48) -> Pack:
    """Numbers and their squares, in a random order."""
    numbers = np.random.default_rng(0).permutation(np.linspace(-1, 1, count, dtype=np.float32))[:, None]
    return pack_of(numbers, values=numbers**2)


def make_problem(name: str) -> Pack:
    """The samples of one of PROBLEMS."""
    return {"vectors": make_points, "regression": make_curve}.get(name, make_pack)()


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


def experiment_of(problem: str, **options: Any) -> Experiment:
    """The options of a problem, sections merged with those given."""
    sections: dict[str, Any] = {"data": {"image_size": SIDE}, "training": {"epochs": 3, "batch_size": 16}}
    for layer in (PROBLEMS[problem], options):
        for key, value in layer.items():
            sections[key] = {**sections.get(key, {}), **value} if isinstance(value, dict) else value
    return Experiment.model_validate(sections)


def make_loop(
    problem: str,
    folder: Path,
    world: World | None = None,
    *,
    pack: Pack | None = None,
    weights: dict[str, torch.Tensor] | None = None,
    fits: bool = True,
    **options: Any,
) -> Loop:
    """A loop as a job makes it, its checkpoints in `folder`. `fits`: its batch is known to fit, so it is not tried."""
    world = world or World()
    pack = pack or make_problem(problem)
    experiment = experiment_of(problem, **options)
    torch.manual_seed(experiment.seed)
    built = build(experiment.model, pack.shape, outputs_of(pack), weights, task=experiment.task)
    indices = np.arange(len(pack.labels))
    splits = SplitIndices(indices[:-HELD_OUT], indices[-HELD_OUT:], indices[-HELD_OUT:])
    batches = make_batches(experiment, pack, splits, world)
    judge = make_classifier(folder / "classifier") if problem == "adversarial" and world.is_first else None
    job = Job(experiment, folder, folder, pack.key, classifier=judge)
    learner = make_learner(job, built, batches, world)
    store = CheckpointStore(folder / "checkpoints", describe(experiment, pack))
    limits = limits_of(job, pack, learner, world)
    if fits:
        limits(learner.trained).learn(learner.micro_batch.share, fits=True)
    return Loop(experiment, learner, batches, torch.from_numpy(splits.validation), world, store, limits)


def make_classifier(folder: Path) -> Path:
    """A classifier of `make_pack`'s images that tells its features, untrained: those of random weights serve here."""
    if not folder.exists():
        pack, experiment = make_pack(), experiment_of("images", model={"name": "cnn"})
        torch.manual_seed(1)
        module = build(experiment.model, pack.shape, outputs_of(pack)).module
        folder.mkdir(parents=True)
        (folder / DESCRIPTION).write_text(json.dumps(describe(experiment, pack)))
        save_file(module.state_dict(), folder / WEIGHTS)
    return folder


def train(loop: Loop, until: int | None = None) -> list[dict[str, float]]:
    """The rows of all epochs, or of those up to one, after which the process is gone."""
    rows = []
    for event in loop.run():
        if isinstance(event, EpochDone):
            rows.append(event.row)
            if event.row["epoch"] == until:
                break
    return rows


def losses(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """The rows without what a clock measured, and without the micro-batch."""
    left_out = ("seconds", "samples_per_second", "micro_batch")
    return [{name: value for name, value in row.items() if name not in left_out} for row in rows]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two networks have the same weights and buffers, bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights and buffers as they are now."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
