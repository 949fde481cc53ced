"""Running out of memory: how it is told from other errors, and what it is called."""

import gc

import torch

from trainers.errors import WorkError

# What ran out. A rank tells the others the place of its cause in this list.
GPU, CPU, KILLED = "GPU memory", "CPU memory", "host memory (the worker was killed)"
CAUSES = ("", GPU, CPU, KILLED)

# What libraries say when an allocation fails. `illegal memory access` is not among them: that is a defect.
_SIGNS = {
    "CUDA out of memory": GPU,
    "CUBLAS_STATUS_ALLOC_FAILED": GPU,
    "CUDNN_STATUS_ALLOC_FAILED": GPU,
    "CUDNN_STATUS_NOT_SUPPORTED": GPU,
    "unable to find an engine": GPU,
    "DefaultCPUAllocator": CPU,
    "could not create a primitive": CPU,  # oneDNN, which keeps failing for that shape, but not for a smaller one
    "could not create a memory": CPU,
}


class TooLarge(WorkError):
    """Not even one sample at a time fits; every rank sees it at the same place."""


class OutOfMemory(WorkError):
    """Memory ran out where nothing can be repeated; what is started again takes smaller parts."""


def cause_of(error: BaseException) -> str | None:
    """What ran out, if an error means that memory did."""
    if isinstance(error, torch.OutOfMemoryError):
        return GPU
    if isinstance(error, MemoryError):
        return CPU
    text = str(error) if isinstance(error, RuntimeError) else ""
    return next((cause for sign, cause in _SIGNS.items() if sign in text), None)


def cause_or_raise(error: Exception) -> str:
    """What ran out; raises the error itself if it means something else."""
    cause = cause_of(error)
    if cause is None:
        raise error
    return cause


def free_leftovers() -> None:
    """Frees what a failed attempt has left: tensors in cycles with its traceback, and blocks cut for its sizes."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA is not in use
