"""Ray: runs a job's work on workers and brings back what they tell.

`trainers.cluster.training` imports ray when it is imported; these do not, so that a Runtime can start Ray in the
background first.
"""

from trainers.cluster.nodes import Cluster, Nodes
from trainers.cluster.nodes_check import Answer, ask_nodes, check_nodes
from trainers.cluster.nodes_joined import joined_cluster
from trainers.cluster.resources import Resources, concurrency, find_resources, this_machine
from trainers.cluster.runtime import Runtime
from trainers.cluster.waits import telling_waits
