"""Nodes in words, and the limits that a cluster's administrator writes down."""

import pytest

from trainers.cluster import Cluster, Nodes
from trainers.cluster.nodes import NO_LIMIT, cores_each, listed, read_limits, room
from trainers.errors import RequestError


def test_nodes_that_are_alike_are_listed_together_the_largest_first():
    nodes = [Nodes(0), Nodes(8, memory=1), Nodes(8, memory=2), Nodes(16, 1), Nodes(4, count=NO_LIMIT, name="spot")]
    assert listed(nodes) == (
        "1 node of 16 cores and 1 GPU, 2 nodes of 8 cores, any number of spot nodes of 4 cores, 1 node of no cores"
    )
    assert listed([]) == "no nodes"


def test_a_cluster_says_what_it_has_and_what_it_can_have():
    assert str(Cluster((Nodes(1, count=2),), ())) == "2 nodes of 1 core"
    assert str(Cluster((Nodes(1),), (), (Nodes(1, count=9, name="cpu"),))) == (
        "1 node of 1 core; there can be 9 cpu nodes of 1 core"
    )


def test_a_worker_needs_its_cores_and_its_gpu_on_one_node():
    nodes = (Nodes(5), Nodes(5, 1, count=2))
    assert [room(nodes, cpus, gpu=False) for cpus in (1, 2, 3, 5, 6)] == [15, 6, 3, 3, 0]
    assert [room(nodes, cpus, gpu=True) for cpus in (1, 5, 6)] == [2, 2, 0]
    assert [cores_each(nodes, workers, gpu=False) for workers in (3, 4, 6, 7, 15, 16)] == [5, 2, 2, 1, 1, 0]


def test_limits_are_read():
    text = """[{"name": "cpu", "cpus": 8, "gpus": 0, "max": 4}, {"name": "l4", "cpus": 16, "gpus": 2, "max": -1},
               {"name": "none", "cpus": 2, "max": 0}, {"name": "big", "cpus": 64, "memory": 1073741824, "max": 1}]"""
    assert read_limits(text) == (
        Nodes(8, count=4, name="cpu"),
        Nodes(16, 2, count=NO_LIMIT, name="l4"),
        Nodes(64, memory=2**30, name="big"),
    )


@pytest.mark.parametrize("text", ["{", "7", "[7]", '[{"name": "cpu"}]', '{"cpu": 4}', '[{"cpus": "x", "max": 1}]'])
def test_limits_that_cannot_be_read_are_refused_in_a_line(text):
    with pytest.raises(RequestError, match="TRAINERS_CLUSTER_LIMITS: is not a list such as") as raised:
        read_limits(text)
    assert "\n" not in str(raised.value)
