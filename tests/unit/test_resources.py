"""Workers get what the nodes have, wait for what can come, and what can never be is refused with the sum."""

import pytest

from trainers.cluster import Cluster, Nodes, Resources, concurrency, find_resources, this_machine
from trainers.errors import RequestError
from trainers.experiment import Scale, Search

HEAD = Nodes(0)


def machine(cpus: int, gpus: int = 0) -> Cluster:
    return Cluster((Nodes(cpus, gpus),), (Nodes(cpus, gpus),))


def cluster(*nodes: Nodes, limits: tuple[Nodes, ...] = (), free: tuple[Nodes, ...] | None = None) -> Cluster:
    return Cluster((HEAD, *nodes), (HEAD, *nodes) if free is None else free, limits)


def fit(scale: dict, where: Cluster, **keywords) -> Resources:
    return find_resources(Scale(**scale), 64, where, **keywords)


@pytest.mark.parametrize(
    ("scale", "cpus", "gpus", "expected"),
    [
        ({}, 8, 0, Resources(1, 8, gpu=False)),
        ({}, 8, 4, Resources(4, 2, gpu=True)),
        ({"workers": 3}, 8, 0, Resources(3, 2, gpu=False)),
        ({"workers": 0}, 8, 1, Resources(0, 8, gpu=True)),
        ({"workers": 2, "device": "cpu"}, 8, 4, Resources(2, 4, gpu=False)),
        ({"workers": 2, "cpus_per_worker": 1}, 8, 0, Resources(2, 1, gpu=False)),
        ({"cpus_per_worker": 4}, 8, 4, Resources(2, 4, gpu=True)),
    ],
)
def test_workers_share_what_a_machine_has(scale, cpus, gpus, expected):
    assert fit(scale, machine(cpus, gpus)) == expected


@pytest.mark.parametrize(
    ("scale", "nodes", "expected"),
    [
        ({}, [Nodes(4), Nodes(8)], Resources(2, 4, gpu=False)),
        ({"workers": 2}, [Nodes(2), Nodes(2)], Resources(2, 2, gpu=False)),
        ({"workers": 2}, [Nodes(8), Nodes(2)], Resources(2, 4, gpu=False)),  # both on the large one
        ({"workers": 3}, [Nodes(8), Nodes(2)], Resources(3, 2, gpu=False)),
        ({"workers": 3}, [Nodes(3), Nodes(3)], Resources(3, 1, gpu=False)),  # not the 2 that the sum would give
        ({}, [Nodes(16, 4, count=2), Nodes(64)], Resources(8, 4, gpu=True)),
        ({"workers": 2}, [Nodes(16, 1), Nodes(4, 1), Nodes(64)], Resources(2, 4, gpu=True)),
        ({}, [Nodes(2, 4)], Resources(2, 1, gpu=True)),  # two GPUs have no core to feed them
        ({"device": "cpu"}, [Nodes(16, 1), Nodes(4, 1)], Resources(2, 8, gpu=False)),
        ({"cpus_per_worker": 8}, [Nodes(4), Nodes(8)], Resources(1, 8, gpu=False)),
    ],
)
def test_a_worker_lies_on_one_node(scale, nodes, expected):
    assert fit(scale, cluster(*nodes)) == expected


@pytest.mark.parametrize(
    ("scale", "where", "message"),
    [
        ({"device": "gpu"}, machine(8), "gpu was asked for, but there is none"),
        ({"sync_batchnorm": True}, machine(8), "scale.sync_batchnorm: PyTorch has it for GPUs alone"),
        ({"workers": 5}, machine(8, 4), "scale.workers: 5 workers need 5 GPUs, there are 4"),
        ({"workers": 3, "cpus_per_worker": 4}, machine(8), "3 workers × 4 cores are 12 cores, there are 8"),
        ({"workers": 65, "device": "cpu"}, machine(100), r"65 workers cannot share a training\.batch_size of 64"),
        (
            {"workers": 4, "cpus_per_worker": 3},
            cluster(Nodes(2), Nodes(2)),
            "scale.workers: 4 workers × 3 cores do not fit: there are 2 nodes of 2 cores, 1 node of no cores",
        ),
        ({"workers": 3, "cpus_per_worker": 2}, cluster(Nodes(3), Nodes(3)), "3 workers × 2 cores do not fit"),
        ({}, cluster(), "1 worker × 1 core are 1 core, there are 0"),
        ({}, Cluster((), ()), "there are no nodes"),
        (
            {"workers": 9, "cpus_per_worker": 4},
            cluster(limits=(Nodes(8, count=4, name="cpu"),)),
            "9 workers × 4 cores do not fit: there can be at most 4 cpu nodes of 8 cores",
        ),
        (
            {"workers": 9},
            cluster(limits=(Nodes(8, count=4, name="cpu"), Nodes(32, 4, count=2, name="a100"))),
            "9 workers need 9 GPUs, there can be at most 8",
        ),
        (
            {"workers": 8, "cpus_per_worker": 16},
            cluster(limits=(Nodes(32, 4, count=2, name="a100"),)),
            "8 workers × 16 cores and 1 GPU do not fit: there can be at most 2 a100 nodes of 32 cores and 4 GPUs",
        ),
    ],
)
def test_what_can_never_be_is_refused_with_the_sum(scale, where, message):
    with pytest.raises(RequestError, match=message):
        fit(scale, where)


CPU, GPU = Nodes(8, count=4, name="cpu"), Nodes(16, 2, count=3, name="l4")


@pytest.mark.parametrize(
    ("scale", "where", "expected", "wait"),
    [
        ({"workers": 2}, cluster(Nodes(8), limits=(CPU,)), Resources(2, 4, gpu=False), ""),
        (
            {"workers": 4, "cpus_per_worker": 4},
            cluster(Nodes(8), limits=(CPU,)),
            Resources(4, 4, gpu=False),
            "2 of 4 workers must wait for new nodes: there are 1 node of 8 cores, 1 node of no cores; "
            "there can be 4 cpu nodes of 8 cores",
        ),
        # Nothing is there yet: the cores are those of the nodes that can come.
        (
            {"workers": 4},
            cluster(limits=(CPU,)),
            Resources(4, 8, gpu=False),
            "4 of 4 workers must wait for new nodes: there is 1 node of no cores; there can be 4 cpu nodes of 8 cores",
        ),
        # A GPU is worth waiting for, and only those nodes are named that have one.
        (
            {},
            cluster(Nodes(8), limits=(CPU, GPU)),
            Resources(1, 16, gpu=True),
            "1 of 1 worker must wait for new nodes: there are 1 node of 8 cores, 1 node of no cores; "
            "there can be 3 l4 nodes of 16 cores and 2 GPUs",
        ),
        ({"device": "cpu"}, cluster(Nodes(8), limits=(CPU, GPU)), Resources(1, 8, gpu=False), ""),
        ({}, cluster(Nodes(16, 2), limits=(CPU, GPU)), Resources(2, 8, gpu=True), ""),  # those that are there
    ],
)
def test_what_can_come_may_be_waited_for(scale, where, expected, wait):
    found = fit(scale, where)
    assert (found, found.wait) == (expected, wait)


@pytest.mark.parametrize(
    ("scale", "free", "wait"),
    [
        ({"workers": 4}, [Nodes(16, 4)], ""),
        ({"workers": 4}, [Nodes(4, 1)], "busy: other jobs have taken 3 of 4 GPUs; this one starts when enough"),
        (
            {"workers": 2, "cpus_per_worker": 8},
            [Nodes(15, 4)],
            "busy: other jobs have taken 1 of 16 cores; this one starts when enough",
        ),
    ],
)
def test_what_others_have_taken_is_waited_for(scale, free, wait):
    found = fit(scale, cluster(Nodes(16, 4), free=tuple(free))).wait
    assert found.startswith(wait)
    assert bool(found) == bool(wait)


@pytest.mark.parametrize(
    ("nodes", "limits", "memory"),
    [
        ([Nodes(8, memory=100), Nodes(8, memory=200), Nodes(1, memory=900)], (), 200),  # the last has too few cores
        ([Nodes(8)], (), 0),
        ([Nodes(1, memory=900)], (Nodes(8, memory=50, count=2),), 50),
    ],
)
def test_the_memory_is_that_of_a_node_on_which_a_worker_fits(nodes, limits, memory):
    where = cluster(*nodes, limits=limits)
    assert fit({"workers": 1, "cpus_per_worker": 4, "device": "cpu"}, where).memory == memory


@pytest.mark.parametrize(
    ("scale", "where", "expected"),
    [
        ({}, machine(8), Resources(1, 1, gpu=False)),
        ({"workers": 0}, machine(8), Resources(1, 1, gpu=False)),
        ({"cpus_per_worker": 2}, machine(8), Resources(1, 2, gpu=False)),
        ({"workers": 2}, machine(8), Resources(2, 1, gpu=False)),
        ({}, machine(16, 4), Resources(1, 4, gpu=True)),
        ({"workers": 2}, machine(16, 4), Resources(2, 4, gpu=True)),
        ({"device": "cpu"}, machine(16, 4), Resources(1, 1, gpu=False)),
        ({}, cluster(Nodes(8, 1), Nodes(16, 4)), Resources(1, 4, gpu=True)),
        ({}, cluster(limits=(GPU,)), Resources(1, 8, gpu=True)),
        ({"workers": 8}, cluster(Nodes(16, 4), limits=(Nodes(16, 4, count=2),)), Resources(8, 4, gpu=True)),
    ],
)
def test_a_trial_takes_little_so_that_many_run(scale, where, expected):
    assert fit(scale, where, sweep=True) == expected


@pytest.mark.parametrize(
    ("search", "resources", "trials", "where", "expected"),
    [
        ({}, Resources(1, 1, gpu=False), 20, machine(8), 8),
        ({}, Resources(1, 1, gpu=False), 3, machine(8), 3),
        ({}, Resources(2, 2, gpu=False), 20, machine(8), 2),
        ({}, Resources(1, 2, gpu=True), 20, machine(16, 4), 4),
        ({}, Resources(2, 8, gpu=True), 20, machine(16, 4), 1),
        ({"concurrent": 2}, Resources(1, 1, gpu=False), 20, machine(8), 2),
        ({}, Resources(1, 2, gpu=False), 20, cluster(Nodes(3), Nodes(3)), 2),  # not the 3 that the sum would give
        ({}, Resources(2, 2, gpu=False), 20, cluster(Nodes(3), Nodes(3)), 1),  # a trial's workers on two nodes
        # What is there, unless nothing is; what is asked for may wait for what can come.
        ({}, Resources(1, 4, gpu=False), 20, cluster(Nodes(8), limits=(CPU,)), 2),
        ({}, Resources(1, 4, gpu=False), 20, cluster(limits=(CPU,)), 8),
        ({"concurrent": 6}, Resources(1, 4, gpu=False), 20, cluster(Nodes(8), limits=(CPU,)), 6),
    ],
)
def test_as_many_trials_run_at_a_time_as_fit(search, resources, trials, where, expected):
    assert concurrency(Search(**search), resources, trials, where) == expected


@pytest.mark.parametrize(
    ("resources", "where", "message"),
    [
        (Resources(2, 1, gpu=False), machine(2), "4 trials × 2 workers × 1 core are 8 cores, there are 2"),
        (Resources(1, 1, gpu=True), machine(16, 2), "4 trials × 1 worker need 4 GPUs, there are 2"),
        (
            Resources(1, 2, gpu=False),
            cluster(Nodes(3, count=3)),
            "4 trials × 1 worker × 2 cores do not fit: there are 3",
        ),
    ],
)
def test_more_trials_at_a_time_than_can_be_are_refused(resources, where, message):
    with pytest.raises(RequestError, match=rf"search\.concurrent: {message}"):
        concurrency(Search(concurrent=4), resources, 20, where)


def test_this_machine_has_a_core_for_each_worker_that_was_asked_for():
    cores = total = this_machine(None).now[0].cpus
    assert total >= 1
    assert this_machine(cores + 3).now[0].cpus == cores + 3
    assert this_machine(None).now[0].memory > 2**30
