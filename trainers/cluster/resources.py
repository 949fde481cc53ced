"""How many workers, and what each gets."""

from dataclasses import dataclass

from trainers.errors import RequestError
from trainers.experiment import Scale, Search


@dataclass(frozen=True)
class Resources:
    """What a run takes: `workers` of `cpus` cores each, and one GPU each if `gpu`. 0 workers: this process alone."""

    workers: int
    cpus: int
    gpu: bool

    def __str__(self) -> str:
        if self.workers == 0:
            return f"this process, on {'a GPU' if self.gpu else 'the CPU'}"
        each = "1 GPU" if self.gpu else f"{self.cpus} CPU core{'s' * (self.cpus > 1)}"
        return f"{self.workers} worker{'s' * (self.workers > 1)} × {each}"


def find_resources(scale: Scale, batch_size: int, *, cpus: float, gpus: float, sweep: bool = False) -> Resources:
    """Fits the request to a cluster, or to this machine, that has so many cores and GPUs.

    Args:
        sweep: it is for one of many trials: one worker with one GPU and its share of the cores, or with one core,
            unless `scale` says otherwise.

    Raises:
        RequestError: it does not fit, with the sum.
    """
    if scale.device == "gpu" and gpus < 1:
        raise RequestError("scale.device: gpu was asked for, but there is none; use auto or cpu")
    gpu = gpus >= 1 and scale.device != "cpu"
    if scale.sync_batchnorm and not gpu:
        raise RequestError("scale.sync_batchnorm: PyTorch has it for GPUs alone, and this runs on CPUs; leave it out")
    unset = int(gpus) if gpu and not sweep else 1
    workers = scale.workers if scale.workers is not None else unset
    if workers == 0 and not sweep:
        return Resources(0, scale.cpus_per_worker or int(cpus), gpu)
    workers = max(workers, 1)
    if gpu and workers > gpus:
        raise RequestError(f"scale.workers: {workers} workers need {workers} GPUs, there are {gpus:g}")
    if workers > batch_size:
        raise RequestError(f"scale.workers: {workers} workers cannot share a training.batch_size of {batch_size}")
    sharers = workers if not sweep else int(gpus) if gpu else int(cpus)
    each = scale.cpus_per_worker or max(1, int(cpus) // max(1, sharers))
    if workers * each > cpus:
        raise RequestError(
            f"scale.workers: {workers} workers × {each} cores are {workers * each} cores, there are {cpus:g}"
        )
    return Resources(workers, each, gpu)


def concurrency(search: Search, resources: Resources, trials: int, *, cpus: float, gpus: float) -> int:
    """How many of a sweep's trials run at a time: as many as fit, or as `search.concurrent` says.

    Args:
        resources: of each trial.
        trials: how many there are.

    Raises:
        RequestError: so many do not fit, with the sum.
    """
    fit = int(cpus) // (resources.workers * resources.cpus)
    if resources.gpu:
        fit = min(fit, int(gpus) // resources.workers)
    wanted = search.concurrent or max(1, fit)
    for name, each, there in (("cores", resources.cpus, cpus), ("GPUs", int(resources.gpu), gpus)):
        needed = wanted * resources.workers * each
        if needed > there:
            raise RequestError(
                f"search.concurrent: {wanted} trials × {resources.workers} workers × {each} {name} "
                f"are {needed} {name}, there are {there:g}"
            )
    return min(wanted, trials)


def cluster_size() -> tuple[float, float]:
    """CPU cores and GPUs of the Ray cluster that this process is connected to."""
    import ray

    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def machine_size() -> tuple[float, float]:
    """CPU cores and GPUs of this machine that this process may use."""
    import os

    import torch

    return float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1), float(
        torch.cuda.device_count()
    )
