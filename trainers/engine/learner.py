"""What the loop asks of whatever is being trained: one network by its task, or a generator and a discriminator."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainers.data.batch import Batch
from trainers.engine.memory import Memory
from trainers.engine.world import World


class Learner(Protocol):
    """Steps, evaluates, and gives up its state; every rank has one, and all ranks call it alike."""

    module: nn.Module
    memory: Memory
    dtype: torch.dtype  # of mixed precision
    counts: tuple[str, ...]  # what a tally counts, the last being samples

    @property
    def trained(self) -> int:
        """How many parameters are being trained."""

    @property
    def rate(self) -> float:
        """The present learning rate (of the last layer group)."""

    def begin(self, epoch: int) -> bool:
        """Makes ready for an epoch (counted from 0); True if from here on other layers are trained than before."""

    def step(self, batch: Batch) -> torch.Tensor:
        """One optimiser step on this rank's part of a global batch; returns its tally [len(counts)] float64."""

    def rehearse(self, batch: Batch, size: int) -> None:
        """Takes the memory of a step in micro-batches of that size, on this rank alone, and leaves no trace."""

    def end(self, metrics: Mapping[str, float]) -> None:
        """Ends an epoch whose validation metrics are these."""

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Means of a summed tally."""

    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """Metrics of a split over all ranks and, if wanted, the task's answers [n, K] for its samples in order."""

    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Images that show how far it has come, and what they were made from; None where there is nothing to see."""

    def weights(self) -> dict[str, torch.Tensor]:
        """The weights to be used and kept."""

    def use(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        """Puts weights, given on rank 0, into the network of every rank, to be evaluated."""

    def state(self) -> dict[str, Any]:
        """Everything else that the rest of the training depends on."""

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to where `weights` and `state` were taken, after so many epochs."""


def distribute(module: nn.Module, world: World) -> nn.Module:
    """The network wrapped for gradients to be averaged over the ranks, where there are several."""
    if world.size == 1:
        return module
    on = [world.device] if world.device.type == "cuda" else None
    model = DistributedDataParallel(module, device_ids=on, gradient_as_bucket_view=True)
    # Buffers are made equal here, since rank 0 alone may have read a weights file and frozen BatchNorm uses what it
    # holds, and from here on once per epoch instead of in each forward pass: it is one collective less per step.
    model.broadcast_buffers = False
    return model


def synchronised(model: nn.Module, *, last: bool) -> AbstractContextManager[object]:
    """Where a backward pass averages gradients over the ranks: with the last micro-batch alone."""
    if last or not isinstance(model, DistributedDataParallel):
        return nullcontext()
    return model.no_sync()


@contextmanager
def rehearsal(module: nn.Module, world: World) -> Iterator[None]:
    """Puts weights, buffers and random numbers back afterwards, and takes the gradients away.

    What is kept for that is the head-room for DDP's buckets, which are as large as the weights that are trained.
    """
    kept = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    norms = [part for part in module.modules() if isinstance(part, nn.SyncBatchNorm)]
    together = [norm.process_group for norm in norms]
    with torch.random.fork_rng(devices=[world.device] if world.device.type == "cuda" else []):
        try:
            for norm in norms:
                norm.process_group = world.alone
            yield
        finally:
            for norm, group in zip(norms, together, strict=True):
                norm.process_group = group
            module.zero_grad(set_to_none=True)
            module.load_state_dict(kept)


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of mixed precision: bf16 where asked for, or where a GPU has it in hardware; else float32."""
    if precision == "bf16":
        return torch.bfloat16
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if precision == "auto" and has_bf16 else torch.float32
