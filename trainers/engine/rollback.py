"""Taking back a step that was only tried, or that failed: as if it had not been."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trainers.engine.world import World


class Rollback:
    """What a failed attempt at a step must not leave changed: running statistics and random numbers.

    Args:
        module: the network, in training mode. Of its buffers, training changes those of the layers in that mode:
            BatchNorm's running statistics.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        moving = [buffer for part in module.modules() if part.training for buffer in part.buffers(recurse=False)]
        # By type, so that each group is copied at once, on a GPU by one launch.
        types = dict.fromkeys(buffer.dtype for buffer in moving)
        self._groups = [[buffer for buffer in moving if buffer.dtype == dtype] for dtype in types]
        self._kept = [torch.cat([buffer.flatten() for buffer in group]) for group in self._groups]
        self._device = device

    @torch.no_grad()
    def keep(self) -> None:
        """Keeps what there is now, for `restore`, where the last was kept: memory may be short."""
        for group, kept in zip(self._groups, self._kept, strict=True):
            torch.cat([buffer.flatten() for buffer in group], out=kept)
        self._random = torch.get_rng_state()
        self._device_random = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None

    @torch.no_grad()
    def restore(self) -> None:
        """Puts back what was kept."""
        for group, kept in zip(self._groups, self._kept, strict=True):
            for buffer, values in zip(group, kept.split([buffer.numel() for buffer in group]), strict=True):
                buffer.copy_(values.view_as(buffer))
        torch.set_rng_state(self._random)
        if self._device_random is not None:
            torch.cuda.set_rng_state(self._device_random, self._device)


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
                norm.process_group = world.own_group
            yield
        finally:
            for norm, group in zip(norms, together, strict=True):
                norm.process_group = group
            module.zero_grad(set_to_none=True)
            module.load_state_dict(kept)
