"""What one of two ranks does in test_memory.py: trainings in which an address-space limit makes allocations fail."""

import gc
import json
import resource
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import nn

from trainers.engine import Job, World, job, work
from trainers.engine.checkpoint import CheckpointStore
from trainers.errors import TrainersError
from trainers.events import EpochDone, Failed, MicroBatch
from trainers.experiment import Experiment

MB = 2**20
SIDE, BATCH, EPOCHS = 96, 64, 2  # a rank's 32 samples take about 300 MB in the first layers
HELD_OUT = 8

Place = Callable[[nn.Module], None]  # puts a limit into a network


def draw(folder: Path) -> None:
    """Two classes of photos, a folder each: two global batches to train on, and as many as are held out."""
    numbers = np.random.default_rng(0)
    for label in ("dark", "bright"):
        (folder / label).mkdir(parents=True)
        for index in range(BATCH + HELD_OUT):
            pixels = numbers.integers(0, 150, (SIDE, SIDE, 3), dtype=np.uint8) + (100 if label == "bright" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{index}.png")


def make_job(folder: Path, photos: Path, **options: object) -> Job:
    experiment = Experiment.model_validate(
        {
            "data": {
                "source": "folder",
                "path": str(photos),
                "image_size": SIDE,
                "validation": HELD_OUT,
                "test": HELD_OUT,
            },
            "training": {"epochs": EPOCHS, "batch_size": BATCH, **options},
        }
    )
    return Job(experiment, folder, folder, "made here")


def limit(extra: int | None) -> None:
    """Lets this process have so many bytes more of address space than it has; None: as many as it likes."""
    gc.collect()
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY if extra is None else has + extra, -1))


# A network runs once, or in two parts twice, before the first step, when it is tried whether the batch fits.


def before_forward(module: nn.Module) -> None:
    """The second step's forward pass is too much."""
    _when(module, call=2, do=lambda: limit(30 * MB), before=True)


def before_backward(module: nn.Module) -> None:
    """The backward pass of the second step's first micro-batch of two is too much."""
    _when(module, call=4, do=lambda: limit(-10 * MB), before=False)


def before_synchronised_backward(module: nn.Module) -> None:
    """The backward pass of the second epoch's first step, in which all ranks wait for each other, is too much."""
    _when(module, call=3, do=lambda: limit(-10 * MB), before=False)


def before_everything(module: nn.Module) -> None:
    """Not even one sample has room."""
    _when(module, call=0, do=lambda: limit(-40 * MB), before=True)


def at_the_start(module: nn.Module) -> None:
    """The whole batch has no room from the first try on."""
    _when(module, call=0, do=lambda: limit(70 * MB), before=True)


def _when(module: nn.Module, *, call: int, do: Callable[[], None], before: bool) -> None:
    calls = 0

    def hook(called: nn.Module, *rest: object) -> None:
        nonlocal calls
        if called.training:
            if calls == call:
                do()
            calls += 1

    if before:
        module.register_forward_pre_hook(hook)
    else:
        module.register_forward_hook(hook)


def train(one: Job, world: World, place: Place | None) -> dict[str, object]:
    """Does a job; what it told of micro-batches, how it ended, and its last weights."""
    build = job.build

    def build_with_limit(*arguments: object, **keywords: object):
        built = build(*arguments, **keywords)
        if place is not None:
            place(built.module)
        return built

    told: dict[str, object] = {"sizes": [], "causes": [], "places": [], "epochs": [], "failed": None}
    try:
        with mock.patch.object(job, "build", build_with_limit):
            for event in work(one, world):
                if isinstance(event, MicroBatch):
                    told["sizes"].append(event.size)
                    told["causes"].append(event.cause)
                    told["places"].append([event.epoch, event.step])
                elif isinstance(event, EpochDone):
                    told["epochs"].append(event.row["micro_batch"])
                elif isinstance(event, Failed):
                    told["failed"] = event.message
    except TrainersError as error:
        told["raised"] = str(error)
    finally:
        limit(None)
    return told


CASES = {
    "forward": (before_forward, {}),
    "backward": (before_backward, {"micro_batch": 16}),
    "start": (at_the_start, {}),
    "nothing": (before_everything, {}),
}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of a run's last epoch."""
    store = CheckpointStore(folder / "checkpoints", {})
    return store.load(store.latest()).weights


def rank(number: int, folder: Path) -> None:
    """Every case that ranks get over without being started again."""
    _join(number, folder / "meeting")
    world, photos = World(number, 2), folder / "photos"
    results = {"free": train(make_job(folder / "free", photos), world, None)}
    for name, (place, options) in CASES.items():
        results[name] = train(make_job(folder / name, photos, **options), world, place if number == 1 else None)
    dist.destroy_process_group()
    (folder / f"{number}.json").write_text(json.dumps(results))


def synchronised_rank(number: int, folder: Path, started: int) -> None:
    """A training that ends where ranks wait for each other, and is started again."""
    _join(number, folder / f"meeting-{started}")
    place = before_synchronised_backward if number == 1 and not started else None
    result = train(make_job(folder / "synchronised", folder / "photos"), World(number, 2), place)
    (folder / f"synchronised-{started}-{number}.json").write_text(json.dumps(result))


def _join(number: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
