"""How many workers, and what each gets."""

from dataclasses import dataclass

from trainers.errors import RequestError
from trainers.experiment import Scale


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


def find_resources(scale: Scale, batch_size: int, *, cpus: float, gpus: float) -> Resources:
    """Fits the request to a cluster, or to this machine, that has so many cores and GPUs.

    Raises:
        RequestError: it does not fit, with the sum.
    """
    if scale.device == "gpu" and gpus < 1:
        raise RequestError("scale.device: gpu was asked for, but there is none; use auto or cpu")
    gpu = gpus >= 1 and scale.device != "cpu"
    workers = scale.workers if scale.workers is not None else (int(gpus) if gpu else 1)
    if workers == 0:
        return Resources(0, scale.cpus_per_worker or int(cpus), gpu)
    if gpu and workers > gpus:
        raise RequestError(f"scale.workers: {workers} workers need {workers} GPUs, there are {gpus:g}")
    if workers > batch_size:
        raise RequestError(f"scale.workers: {workers} workers cannot share a training.batch_size of {batch_size}")
    each = scale.cpus_per_worker or max(1, int(cpus) // workers)
    if workers * each > cpus:
        raise RequestError(
            f"scale.workers: {workers} workers × {each} cores are {workers * each} cores, there are {cpus:g}"
        )
    return Resources(workers, each, gpu)


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
