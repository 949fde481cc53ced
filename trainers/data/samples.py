"""The samples of a pack on the device that trains, where they fit."""

import warnings

import torch

from trainers.data.normalise import Normalise
from trainers.data.pack import Pack

# A pack that takes less than this share of the GPU's free memory lives there; a larger one is fetched batch by batch.
DEVICE_SHARE = 0.25


class Samples:
    """The inputs and targets of a pack, on the device where they fit.

    Args:
        pack: bytes [N, H, W, C] or floats [N, D]; labels [N], or values [N, T], which then are the targets.
        device: where batches are wanted.
        normalise: what makes the network's inputs of them.
    """

    def __init__(self, pack: Pack, device: torch.device, normalise: Normalise) -> None:
        self.device, self.normalise = device, normalise
        with warnings.catch_warnings():
            # The pack is mapped read-only, which torch cannot express; nothing here writes to it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.inputs = torch.from_numpy(pack.inputs)
            self.targets = torch.from_numpy(pack.labels if pack.values is None else pack.values).to(device)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.inputs.nbytes < DEVICE_SHARE * free:
                self.inputs = self.inputs.to(device)

    def take(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs [n, …], as they lie in the pack, and targets [n] or [n, T] of samples `indices` [n]; on the device."""
        inputs = self.inputs[indices.to(self.inputs.device, non_blocking=True)]
        if inputs.device != self.device:
            inputs = inputs.pin_memory().to(self.device, non_blocking=True)
        return inputs, self.targets[indices.to(self.device, non_blocking=True)]
