"""A job whose workers find no room on a cluster says what they wait for."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainers.cluster.nodes_joined import joined_cluster
from trainers.cluster.resources import Resources, wait_of

PAUSE = 15.0  # seconds; a wait as long as that is told, and again after twice the time


@contextmanager
def telling_waits(resources: Resources, pause: float = PAUSE) -> Iterator[None]:
    """Warns, ever more rarely, while this job's workers wait for room on the cluster.

    Ray Train itself waits for ever, without a word: after RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S (60 by default) it
    only asks for room anew.

    Args:
        pause: seconds between two looks, and before the first warning.
    """
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(resources, pause, over), name="waits", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()


def _watch(resources: Resources, pause: float, over: threading.Event) -> None:
    import ray
    from ray.util import placement_group_table

    job = ray.get_runtime_context().get_job_id()
    since, late = time.monotonic(), pause
    while not over.wait(pause):
        try:
            waits = _waits(placement_group_table(), job)
            why = wait_of(joined_cluster(), resources.workers, resources.cpus, resources.gpu) if waits else ""
        except Exception:  # Ray was stopped meanwhile
            return
        if not waits:
            since, late = time.monotonic(), pause
        elif (waited := time.monotonic() - since) >= late:
            late = 2 * waited
            logging.getLogger("trainers").warning(
                "%.0f s without room for %s: %s", waited, resources, why or "Ray is about to give it"
            )


def _waits(groups: Mapping[str, Mapping[str, Any]], job: str) -> bool:
    """Whether a job's placement groups, whose ids end in the job's, are all without a place.

    Ray Train makes one for all workers, and removes it to ask anew.
    """
    states = {group["state"] for id_, group in groups.items() if id_.endswith(job)}
    return bool(states) and "CREATED" not in states
