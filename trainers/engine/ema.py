"""An exponential moving average of a network's weights."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """A copy of a network whose weights follow the network's slowly (Polyak & Juditsky 1992).

    The decay is min(decay, (1 + n) / (10 + n)) after n updates, as TensorFlow's ExponentialMovingAverage has it,
    so that a short run does not end near the weights it began with.

    PyTorch's AveragedModel is not used: it has no such warm-up, and makes the host wait for the device at each update.

    Args:
        module: the network, not wrapped (DistributedDataParallel or such); it is copied to where it lies.
        decay: in 0…1; the average is over about 1 / (1 - decay) steps.

    Attributes:
        module: the averaged network, in eval mode and without gradients.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """To be called after each optimiser step, with the network that it changed.

        Buffers of floats are averaged too, because BatchNorm's statistics belong to the weights that they were
        measured with; counters are copied.
        """
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        averages: list[torch.Tensor] = []
        latest: list[torch.Tensor] = []
        for average, new in zip(_tensors(self.module), _tensors(module), strict=True):
            if average.is_floating_point():
                averages.append(average)
                latest.append(new.detach())
            else:
                average.copy_(new)
        get_ema_multi_avg_fn(decay)(averages, latest, self._updates)
        self._updates += 1

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights (by the names of the network's own state) and the number of updates."""
        return {"updates": self._updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes back to a state, bit for bit."""
        self.module.load_state_dict(state["module"])
        self._updates = state["updates"]


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
