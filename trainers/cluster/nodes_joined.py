"""The nodes of the Ray cluster that this process has joined."""

import os
from collections.abc import Mapping

from trainers.cluster.nodes import LIMITS, Cluster, Nodes, read_limits

HEAD = "node:__internal_head__"  # a resource by which Ray marks its head


def joined_cluster() -> Cluster:
    """The cluster's nodes now, and the limits of TRAINERS_CLUSTER_LIMITS within which nodes come and go.

    Ray tells a job no limits: none of the autoscalers that come with it says them to the cluster.

    Raises RequestError: TRAINERS_CLUSTER_LIMITS cannot be read.
    """
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status  # asks the head itself: needs no dashboard, no autoscaler

    status = get_cluster_status(ray.get_runtime_context().gcs_address)
    alive = [*status.active_nodes, *status.idle_nodes]
    totals = [node.total_resources() for node in alive]
    limits = read_limits(os.environ.get(LIMITS) or "[]")
    if limits:  # they are of what comes and goes, which the head does not
        limits += tuple(_nodes(total) for total in totals if HEAD in total and total.get("CPU"))
    return Cluster(tuple(map(_nodes, totals)), tuple(_nodes(node.available_resources()) for node in alive), limits)


def _nodes(resources: Mapping[str, float]) -> Nodes:
    cpus, gpus, memory = (int(resources.get(name, 0)) for name in ("CPU", "GPU", "memory"))
    return Nodes(cpus, gpus, memory)
