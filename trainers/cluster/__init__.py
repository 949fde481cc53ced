"""Ray: runs a job's work on workers and brings back what they tell.

`trainers.cluster.training` imports ray when it is imported; these do not, so that a Runtime can start Ray in the
background first.
"""

from trainers.cluster.resources import Resources, cluster_size, concurrency, find_resources, machine_size
from trainers.cluster.runtime import Runtime

__all__ = ["Resources", "Runtime", "cluster_size", "concurrency", "find_resources", "machine_size"]
