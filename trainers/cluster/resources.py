"""How many workers, and what each gets."""

import os
from dataclasses import dataclass, field

import psutil

from trainers.cluster.nodes import Cluster, Nodes, cores_each, listed, many, room, total
from trainers.errors import RequestError
from trainers.experiment import Scale, Search


@dataclass(frozen=True)
class Resources:
    """What a run takes: `workers` of `cpus` cores each, and one GPU each if `gpu`. 0 workers: this process alone.

    Attributes:
        memory: bytes of the largest node that holds such a worker; 0: not known.
        wait: what it must wait for before it can start; empty: nothing.
    """

    workers: int
    cpus: int
    gpu: bool
    memory: int = field(default=0, compare=False)
    wait: str = field(default="", compare=False)

    def __str__(self) -> str:
        if self.workers == 0:
            return f"this process, on {'a GPU' if self.gpu else 'the CPU'}"
        each = "1 GPU" if self.gpu else many(self.cpus, "CPU core")
        return f"{many(self.workers, 'worker')} × {each}"


def find_resources(scale: Scale, batch_size: int, cluster: Cluster, *, sweep: bool = False) -> Resources:
    """Fits the request to the nodes of a cluster, or to this machine.

    What `scale` leaves open goes by the nodes that are there; what it asks for may wait for those that can come.

    Args:
        sweep: it is for one of many trials: one worker with one GPU and its share of the cores, or with one core,
            unless `scale` says otherwise.

    Raises RequestError: it can never fit, with the sum.
    """
    gpus = max(total(nodes, "gpus") for nodes in cluster.stages)
    if scale.device == "gpu" and not gpus:
        raise RequestError("scale.device: gpu was asked for, but there is none; use auto or cpu")
    gpu = gpus > 0 and scale.device != "cpu"
    if scale.sync_batchnorm and not gpu:
        raise RequestError("scale.sync_batchnorm: PyTorch has it for GPUs alone, and this runs on CPUs; leave it out")
    if scale.workers == 0 and not sweep:
        return Resources(0, scale.cpus_per_worker or total(cluster.now, "cpus"), gpu)
    unset = 1 if sweep else min(_usual(cluster, scale.cpus_per_worker or 1, gpu), batch_size)
    workers = max(1, unset if scale.workers is None else scale.workers)
    if workers > batch_size:
        raise RequestError(f"scale.workers: {workers} workers cannot share a training.batch_size of {batch_size}")
    each = scale.cpus_per_worker or _share(cluster, workers, gpu, sweep)
    holding = next((nodes for nodes in cluster.stages if room(nodes, each, gpu) >= workers), None)
    if holding is None:
        raise RequestError(_refusal(f"scale.workers: {many(workers, 'worker')}", workers, each, gpu, cluster))
    memory = max(kind.memory for kind in holding if kind.room(each, gpu))
    return Resources(workers, each, gpu, memory, wait_of(cluster, workers, each, gpu))


def concurrency(search: Search, resources: Resources, trials: int, cluster: Cluster) -> int:
    """How many of a sweep's trials run at a time: as many as the nodes hold now, or as `search.concurrent` says.

    Args:
        resources: of each trial.
        trials: how many there are.

    Raises RequestError: so many can never fit, with the sum.
    """
    workers, each, gpu = resources.workers, resources.cpus, resources.gpu
    fit = [room(nodes, each, gpu) // workers for nodes in cluster.stages]
    if search.concurrent is None:
        return min(next(filter(None, fit), 1), trials)
    if search.concurrent > max(fit):
        what = f"search.concurrent: {many(search.concurrent, 'trial')} × {many(workers, 'worker')}"
        raise RequestError(_refusal(what, search.concurrent * workers, each, gpu, cluster))
    return min(search.concurrent, trials)


def wait_of(cluster: Cluster, workers: int, cpus: int, gpu: bool) -> str:
    """What so many workers must wait for on a cluster, in a line; empty: there is room."""
    here, free = room(cluster.now, cpus, gpu), room(cluster.free, cpus, gpu)
    if here < workers:
        coming = [kind for kind in cluster.limits if kind.room(cpus, gpu)]
        return (
            f"{workers - here} of {many(workers, 'worker')} must wait for new nodes: there {_are(cluster.now)}"
            f"{f'; there can be {listed(coming)}' * bool(coming)}"
        )
    if free < workers:
        what = "gpus" if gpu and total(cluster.free, "gpus") < workers else "cpus"
        there = total(cluster.now, what)
        taken = f"{there - total(cluster.free, what)} of {there} {'GPUs' if what == 'gpus' else 'cores'}"
        return f"busy: other jobs have taken {taken}; this one starts when enough of them are free"
    return ""


def this_machine(workers: int | None) -> Cluster:
    """This machine as a cluster of one node: its memory, and the cores and GPUs that this process may use.

    Args:
        workers: so many have a core each in any case, and share those that there are.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    node = Nodes(max(cores, workers or 1), torch.cuda.device_count(), psutil.virtual_memory().total)
    return Cluster((node,), (node,))


def _usual(cluster: Cluster, cpus: int, gpu: bool) -> int:
    """How many workers there are unless told otherwise: one per GPU, or one per node with cores."""
    return room(cluster.now, cpus, gpu) if gpu else sum(kind.count for kind in cluster.now if kind.cpus >= cpus)


def _share(cluster: Cluster, workers: int, gpu: bool, sweep: bool) -> int:
    """The cores of each worker where they are shared out: on the nodes that are there, else on those that can be."""
    if sweep and not gpu:
        return 1
    for nodes in cluster.stages:
        sharers = max(workers, room(nodes, 1, gpu)) if sweep else workers
        if each := cores_each(nodes, sharers, gpu):
            return each
    return 1


def _refusal(what: str, workers: int, cpus: int, gpu: bool, cluster: Cluster) -> str:
    """That so many workers never fit, with the sum where it is one, else with the nodes."""
    nodes = cluster.limits or cluster.now
    there = "there can be at most" if cluster.limits else "there are"
    gpus = total(nodes, "gpus")
    if gpu and workers > gpus:
        return f"{what} need {workers} GPUs, {there} {gpus}"
    what = f"{what} × {many(cpus, 'core')}"
    if not cluster.limits and sum(kind.count for kind in nodes) == 1:
        return f"{what} are {many(workers * cpus, 'core')}, {there} {nodes[0].cpus}"
    return f"{what}{' and 1 GPU' * gpu} do not fit: {there} {listed(nodes)}"


def _are(nodes: tuple[Nodes, ...]) -> str:
    return f"{'is' if sum(kind.count for kind in nodes) == 1 else 'are'} {listed(nodes)}"
