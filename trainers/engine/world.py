"""This process's place among the ranks, and the few things that ranks do together."""

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """One rank of `size`. With a size above 1 torch.distributed must be initialised."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this rank reports, and writes checkpoints."""
        return self.rank == 0

    @property
    def own_group(self) -> dist.ProcessGroup:
        """A group of this rank alone; every rank asks for it at the same place the first time."""
        group: dist.ProcessGroup = _groups_of_one(dist.group.WORLD)[0]
        return group

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks of a tensor of the same shape on each, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def from_first(self, number: int) -> int:
        """Rank 0's value of a number, on every rank."""
        if self.size == 1:
            return number
        box = torch.tensor(number, device=self.device)
        dist.broadcast(box, src=0)
        return int(box.item())

    def largest(self, number: int) -> int:
        """The largest of all ranks' numbers. The devices are not waited for."""
        if self.size == 1:
            return number
        box = torch.tensor(number)
        dist.all_reduce(box, dist.ReduceOp.MAX, group=_hosts(dist.group.WORLD))
        return int(box.item())

    def smallest(self, number: int) -> int:
        """The smallest of all ranks' numbers."""
        return -self.largest(-number)

    def dict_from_first(self, values: dict[str, float] | None) -> dict[str, float]:
        """Rank 0's numbers by name, on every rank; the others give None.

        As JSON: torch's broadcast_object_list would have the others load a pickle.
        """
        if self.size == 1:
            assert values is not None
            return values
        content = json.dumps(values).encode() if self.is_first else b""
        length = self.from_first(len(content))
        box = torch.zeros(length, dtype=torch.uint8)
        if self.is_first:
            box[:] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        box = box.to(self.device)
        dist.broadcast(box, src=0)
        received: dict[str, float] = json.loads(bytes(box.cpu().numpy()))
        return received

    def copy_from_first(self, module: nn.Module, *, buffers_only: bool = False) -> None:
        """Makes a module's buffers, and unless told otherwise its parameters, those of rank 0."""
        if self.size == 1:
            return
        tensors = list(module.buffers()) if buffers_only else [*module.parameters(), *module.buffers()]
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)

    def gather_rows(self, mine: list[torch.Tensor], total: int) -> torch.Tensor:
        """All rows in order [total, K], when rank r holds rows r, r + size, r + 2 size, … as a list of [n, K]."""
        width = mine[0].shape[1] if mine else 0
        if self.size > 1:  # a rank without rows does not know how wide they are
            box = torch.tensor(width, device=self.device)
            dist.all_reduce(box, dist.ReduceOp.MAX)
            width = int(box.item())
        rows = torch.cat(mine) if mine else torch.zeros(0, width, device=self.device)
        if self.size == 1:
            return rows
        longest = -(-total // self.size)
        padded = torch.zeros(longest, width, dtype=rows.dtype, device=self.device)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total]


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


@lru_cache(maxsize=1)
def _hosts(world: Any) -> Any:
    """The ranks' processes, without their devices. Every rank asks for it at the same place the first time."""
    return world if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")


@lru_cache(maxsize=1)
def _groups_of_one(world: Any) -> Any:
    return dist.new_subgroups(group_size=1)
