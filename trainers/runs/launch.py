"""Starting a job's work, in this process or on Ray, and ending it in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainers.cluster import Resources, Runtime, check_nodes, telling_waits
from trainers.errors import Interrupted
from trainers.events import Event
from trainers.experiment import Experiment

if TYPE_CHECKING:
    from trainers.engine.job import Job


@contextmanager
def ray(experiment: Experiment, *, needed: bool | None = None) -> Iterator[Runtime | None]:
    """Ray, starting in the background; None where it is not needed: by default, where this process does the work.

    A cluster is joined and its nodes are asked meanwhile: what is wrong with one is told by who waits for it first.
    """
    if not (experiment.scale.workers != 0 if needed is None else needed):
        yield None
        return
    runtime = Runtime(
        experiment.scale.workers, verbose=experiment.log.level == "debug", check=lambda: check_nodes(experiment.storage)
    )
    try:
        yield runtime
    except (KeyboardInterrupt, Interrupted):
        runtime.abandon()
        raise
    except BaseException:
        runtime.stop()
        raise
    runtime.stop()


def launch(job: "Job", resources: Resources, runtime: Runtime | None) -> Iterator[Event]:
    """Starts the work; rank 0's events can be read as they come."""
    if runtime is None:
        from trainers.engine.worker import work_here

        return work_here(job, cpus=resources.cpus, gpu=resources.gpu)
    from trainers.cluster.training import train_on_ray  # takes seconds, in which Ray goes on starting

    runtime.wait()
    news = train_on_ray(job, resources)
    return news if runtime.address is None else _told(news, resources)


def _told(news: Iterator[Event], resources: Resources) -> Iterator[Event]:
    """The same events; whoever waits for one while the cluster has no room is told so."""
    with telling_waits(resources):
        yield from news


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, by which Ray and Kubernetes stop a job, ends a run as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Does something in a thread while the body runs, and waits for both."""
    thread = threading.Thread(target=work, name="wind-down")
    thread.start()
    try:
        yield
    finally:
        thread.join()
