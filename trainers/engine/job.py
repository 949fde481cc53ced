"""One job as every rank does it: build, restore, train, test the best weights."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from trainers.data import reopen_pack, splits_of
from trainers.data.batches import Samples
from trainers.engine.checkpoint import CheckpointStore
from trainers.engine.evaluate import evaluate
from trainers.engine.loop import Diverged, Loop
from trainers.engine.world import World
from trainers.events import Event, Failed, Restored, Tested
from trainers.experiment import Experiment
from trainers.models import build, resolve_weights
from trainers.tasks import Classification, describe


@dataclass(frozen=True)
class Job:
    """What a rank must know. It travels to other machines, so its paths are absolute."""

    experiment: Experiment
    folder: Path  # the run's own, where checkpoints go
    storage: Path
    pack_key: str  # made again from the source on a node that does not have it


def work(job: Job, world: World) -> Iterator[Event]:
    """Trains a job to its end as one rank, and yields what there is to tell; rank 0's is the whole story.

    Started again after a crash, it goes on from the last sound checkpoint.
    """
    options = job.experiment
    if world.device.type == "cuda":
        # Resumed runs are to be the same bit for bit, so no algorithm is chosen by a race.
        torch.backends.cudnn.deterministic = True
    pack = reopen_pack(job.pack_key, options.data, job.storage)
    splits = splits_of(pack, options.data, options.seed)
    samples = Samples(pack, world.device)
    store = CheckpointStore(job.folder / "checkpoints", describe(options, pack.classes))
    torch.manual_seed(options.seed)
    last = world.from_first(store.latest() if world.is_first else 0)
    # DDP gives every rank the parameters of rank 0, so rank 0 alone needs the file.
    weights = resolve_weights(options.model, job.storage) if world.is_first and not last else None
    built = build(options.model, len(pack.classes), options.data.image_size, weights)
    task = Classification(options.training.label_smoothing)
    train, validation, test = (torch.from_numpy(split) for split in (splits.train, splits.validation, splits.test))
    loop = Loop(options, built, task, samples, train, validation, world, store)
    if last:
        loop.restore(store.load(last))
    yield Restored(last, loop.history, built.missing)
    try:
        yield from loop.run()
    except Diverged as error:
        # All ranks stop here together; raising would only have Ray start them again to the same end.
        yield Failed(str(error))
        return
    yield _test_best(loop, test, len(pack.classes))


def _test_best(loop: Loop, test: torch.Tensor, classes: int) -> Tested:
    """Puts the best epoch's weights into the network and evaluates them once on the test split, over all ranks."""
    started = time.perf_counter()
    best = max(int(row["epoch"]) for row in loop.history if row["best"])
    if loop.world.is_first:
        loop.module.load_state_dict(loop.store.load(best).weights)
    loop.world.copy_from_first(loop.module)
    metrics, probabilities = evaluate(
        loop.module, loop.task, loop.samples, test, loop.world, dtype=loop.dtype, classes=classes
    )
    seconds = time.perf_counter() - started
    return Tested(metrics, probabilities.cpu().numpy(), best, str(loop.store.path(best)), seconds)
