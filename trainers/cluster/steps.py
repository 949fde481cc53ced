"""A job under Ray Train that waits after each epoch until it is wanted to go on."""

from collections.abc import Generator
from contextlib import suppress

from trainers.cluster.news import make_queue
from trainers.cluster.resources import Resources
from trainers.cluster.training import STOP, train_on_ray
from trainers.engine import Job
from trainers.errors import WorkError
from trainers.events import EpochDone, Event


def train_in_steps(job: Job, resources: Resources) -> Generator[Event]:
    """Trains a job on workers, which after an epoch wait until the next event is asked for.

    Closing the generator ends the workers, and returns when they have ended.

    Raises:
        WorkError: as `train_on_ray`.
    """
    gate = make_queue()
    events = train_on_ray(job, resources, gate)
    try:
        for event in events:
            yield event
            if isinstance(event, EpochDone):
                gate.put(int(event.row["epoch"]))
    except GeneratorExit:
        gate.put(STOP)
        with suppress(WorkError):  # it was to be stopped anyway
            for _ in events:
                pass
        raise
