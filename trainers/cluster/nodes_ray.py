"""The nodes of the Ray cluster that this process has joined, and what its workers wait for there."""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trainers.cluster.nodes import LIMITS, Cluster, Nodes, count_of, read_limits
from trainers.cluster.resources import Resources, wait_of

HEAD = "node:__internal_head__"  # a resource by which Ray marks its head
PAUSE = 15.0  # seconds; a wait as long as that is told, and again after twice the time


def joined_cluster() -> Cluster:
    """The cluster's nodes now, and the limits within which an autoscaler adds and removes them.

    Limits are those that the autoscaler has told Ray (NodeGroupConfig in Ray's autoscaler.proto), else those of
    TRAINERS_CLUSTER_LIMITS: KubeRay's autoscaler tells Ray none.

    Raises:
        RequestError: TRAINERS_CLUSTER_LIMITS cannot be read.
    """
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    alive = [node for node in ray.nodes() if node["Alive"]]
    limits = _told_limits() or read_limits(os.environ.get(LIMITS) or "[]")
    if limits:  # they are of what comes and goes, which the head does not
        limits += tuple(_nodes(node["Resources"]) for node in alive if {HEAD, "CPU"} <= node["Resources"].keys())
    return Cluster(
        tuple(_nodes(node["Resources"]) for node in alive),
        tuple(_nodes(free.get(node["NodeID"], {})) for node in alive),
        limits,
    )


def _told_limits() -> tuple[Nodes, ...]:
    from ray._private.state import state

    told = state.get_cluster_config()
    if told is None:
        return ()
    kinds = [_nodes(group.resources, count_of(group.max_count), group.name) for group in told.node_group_configs]
    return tuple(kind for kind in kinds if kind.count)


def _nodes(resources: Mapping[str, float], count: int = 1, name: str = "") -> Nodes:
    cpus, gpus, memory = (int(resources[key]) if key in resources else 0 for key in ("CPU", "GPU", "memory"))
    return Nodes(cpus, gpus, memory, count, name)


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
