"""A job in this process alone, without Ray: for small problems, tests and debuggers."""

from collections.abc import Iterator

import torch

from trainers.engine.job import Job, work
from trainers.engine.world import World
from trainers.events import Event


def work_here(job: Job, *, cpus: int, gpu: bool) -> Iterator[Event]:
    """Does a job on this machine's first GPU, or on `cpus` cores, and yields its events as they come."""
    torch.set_num_threads(cpus)
    return work(job, World(device=torch.device("cuda" if gpu else "cpu")))
