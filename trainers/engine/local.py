"""A job in one process, without Ray Train: for small problems, trials of one worker, tests and debuggers."""

from collections.abc import Iterator

import torch

from trainers.engine.job import Job, work
from trainers.engine.memory import OutOfMemory
from trainers.engine.world import World
from trainers.events import Event


def work_here(job: Job, *, cpus: int, gpu: bool) -> Iterator[Event]:
    """Does a job on this machine's first GPU, or on `cpus` cores, and yields its events as they come."""
    torch.set_num_threads(cpus)
    return work_alone(job, World(device=torch.device("cuda" if gpu else "cpu")))


def work_alone(job: Job, world: World) -> Iterator[Event]:
    """The same on a device. Where memory runs out and nothing can be repeated, it begins again from the checkpoint.

    That ends, because each time it takes smaller parts, and at last fails.
    """
    while True:
        try:
            yield from work(job, world)
        except OutOfMemory:
            continue
        return
