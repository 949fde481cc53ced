"""This process's place among the ranks, and the few things that ranks do together."""

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import nn


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

    def copy_from_first(self, module: nn.Module, *, buffers_only: bool = False) -> None:
        """Makes a module's buffers, and unless told otherwise its parameters, those of rank 0."""
        if self.size == 1:
            return
        tensors = list(module.buffers()) if buffers_only else [*module.parameters(), *module.buffers()]
        for tensor in tensors:
            dist.broadcast(tensor.detach(), src=0)

    def gather_rows(self, mine: torch.Tensor, total: int) -> torch.Tensor:
        """All rows in order [total, …], when rank r holds rows r, r + size, r + 2 size, …"""
        if self.size == 1:
            return mine
        longest = -(-total // self.size)
        padded = torch.zeros(longest, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:total]
