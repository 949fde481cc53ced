"""What one of two ranks does in test_two_ranks.py, in a process of its own."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from toys import experiment_of, losses, make_loop, make_pack, make_problem, train

from trainers.engine import LrCurve, World
from trainers.engine.lr_finder import RangeTest, run_range_test
from trainers.engine.worker import same_samples
from trainers.models import build

# Networks without BatchNorm in training, and without dropout: with them a step depends on which samples a rank has.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "MixUp": ("images", {"data": {"augment": {"mixup": 0.4, "flip": 0.5}}}),
    "micro-batches, clipped": ("images", {"training": {"micro_batch": 3, "clip_norm": 0.5}}),
    "autoencoding": ("autoencoding", {"optimizer": {"lr": 0.1}}),
    "regression": ("regression", {"optimizer": {"lr": 0.1}}),
    "unfreezing, averaged": (
        "vectors",
        {
            "model": {"hidden": [8, 8], "train": "head", "unfreeze": [2, 3]},
            "training": {"epochs": 4, "ema": 0.5},
            "optimizer": {"lr": 0.1, "lr_low": 0.01},
        },
    ),
    "GAN": ("adversarial", {"training": {"micro_batch": 3, "ema": 0.5}}),
    # Frozen BatchNorm uses the statistics of the weights file, which rank 0 alone has read.
    "weights, averaged": (
        "images",
        {"model": {"name": "cnn", "train": "head", "dropout": 0}, "training": {"epochs": 1, "ema": 0.999}},
    ),
}
WITH_BATCH_NORM = {"cnn": "images", "dcgan": "adversarial"}
RANGE_TEST = RangeTest(low=1e-3, high=10.0, steps=40)
SHORT = "GAN out of memory"
COUNTED = 7  # samples, which two ranks cannot share evenly


def rank(number: int, folder: Path, size: int = 2) -> None:
    """Does everything as one of `size` ranks, and writes what came out to `folder/NUMBER.json`."""
    torch.set_num_threads(1)
    meeting = (folder / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=number, world_size=size)
    results = everything(World(number, size), folder / str(number))
    dist.destroy_process_group()
    (folder / f"{number}.json").write_text(json.dumps(results))


def everything(world: World, folder: Path) -> dict[str, Any]:
    """Every case's epochs, a range test, an evaluation, and what networks with BatchNorm end with."""
    results: dict[str, Any] = {name: losses(train(_loop(name, world, folder))) for name in CASES}
    results[SHORT] = _out_of_memory(world, folder)
    results["range test"] = _range_test(world, folder)
    results["evaluation"] = _evaluation(world, folder)
    results["the same samples"] = [same_samples(make_pack(count), world) for count in (48, 48 + world.rank)]
    results["BatchNorm"] = {name: _weights_with_batch_norm(name, world, folder) for name in WITH_BATCH_NORM}
    return results


def _loop(name: str, world: World, folder: Path):
    problem, options = CASES[name]
    weights = _weights(problem, options) if name.startswith("weights") and world.is_first else None
    torch.manual_seed(world.rank)
    return make_loop(problem, folder / name, world, weights=weights, **options)


def _out_of_memory(world: World, folder: Path) -> list[dict[str, float]]:
    """A GAN whose generator runs out of memory in its own turn, once, on the last rank."""
    loop = make_loop("adversarial", folder / SHORT, world, training={"ema": 0.5})
    failures = [MemoryError()] if world.rank == world.size - 1 else []

    def run_out(generator, inputs):
        if failures and generator.training and torch.is_grad_enabled() and loop.learner._step == 2:
            raise failures.pop()

    loop.learner.gan.generator.register_forward_pre_hook(run_out)
    rows = train(loop)
    assert loop.learner.micro_batch.cause == "CPU memory"
    return losses(rows)


def _weights(problem: str, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """As if from a file: of a network that has seen something."""
    torch.manual_seed(5)
    module = build(experiment_of(problem, **options).model, make_problem(problem).shape, 2).module
    module.train()
    module(torch.randn(8, 3, 16, 16) * 3 + 1)
    return module.state_dict()


def _range_test(world: World, folder: Path) -> dict[str, Any]:
    loop = make_loop("vectors", folder / "range test", world)
    *_, result = run_range_test(RANGE_TEST, loop.learner, loop.batches, world, 0)
    suggestion = LrCurve(result.rates, result.losses).suggestion
    return {"rates": result.rates, "losses": result.losses, "suggestion": suggestion}


def _evaluation(world: World, folder: Path) -> dict[str, Any]:
    loop = make_loop("images", folder / "evaluation", world)
    metrics, answers = loop.learner.evaluate(torch.arange(COUNTED), answers=True)
    return {"metrics": metrics, "answers": answers.tolist()}


def _weights_with_batch_norm(name: str, world: World, folder: Path) -> list[float]:
    """The sum of all weights and statistics after an epoch, of the trained network and of the averaged one."""
    options = {"model": {"name": name, "dropout": 0 if name == "cnn" else None}, "training": {"ema": 0.9}}
    loop = make_loop(WITH_BATCH_NORM[name], folder / name, world, **options)
    train(loop, until=1)
    states = (loop.learner.module.state_dict(), loop.learner.model_state())
    return [sum(tensor.double().abs().sum().item() for tensor in state.values()) for state in states]
