"""The splits of a pack as batches on the device that trains: no Python per sample, no wait for the host."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainers.data import augment as augmentation
from trainers.data.pack import Pack
from trainers.experiment import Augment

# A pack that takes less than this share of the GPU's free memory lives there; a larger one is fetched batch by batch.
DEVICE_SHARE = 0.25


@dataclass(frozen=True)
class Batch:
    """One rank's part of a global batch: bytes [n, H, W, 3], targets [n], and the global batch's number of samples."""

    images: torch.Tensor
    targets: torch.Tensor
    changes: torch.Tensor | None
    global_size: int
    augment: Augment

    def __len__(self) -> int:
        return len(self.targets)

    def micro_batches(self, size: int | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Augmented, normalised images [m, 3, H, W] and targets [m] in parts of nearly equal length m ≤ size."""
        parts = 1 if size is None else -(-len(self) // size)
        changes = [None] * parts if self.changes is None else self.changes.tensor_split(parts)
        for images, targets, change in zip(
            self.images.tensor_split(parts), self.targets.tensor_split(parts), changes, strict=True
        ):
            yield augmentation.apply(images, change, self.augment), targets


class Samples:
    """The images and labels of a pack, on the device where they fit.

    Args:
        pack: bytes [N, H, W, 3] and labels [N].
        device: where batches are wanted.
    """

    def __init__(self, pack: Pack, device: torch.device) -> None:
        self.device = device
        with warnings.catch_warnings():
            # The pack is mapped read-only, which torch cannot express; nothing here writes to it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            self.images = torch.from_numpy(pack.images)
        self.labels = torch.from_numpy(pack.labels).to(device)
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self.images.nbytes < DEVICE_SHARE * free:
                self.images = self.images.to(device)

    def take(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bytes [n, H, W, 3] and labels [n] of the given samples, on the device."""
        images = self.images[indices.to(self.images.device)]
        if images.device != self.device:
            images = images.pin_memory().to(self.device, non_blocking=True)
        return images, self.labels[indices.to(self.device)]


class TrainingBatches:
    """The shuffled global batches of the training split, of which each rank takes its part.

    The order of an epoch comes from (seed, epoch), the augmentation from (seed, epoch, step): neither depends on the
    number of ranks. The last batch is as short as it is, unless it is too short to give each rank two samples (below
    which BatchNorm has no variance): then it is left out, and other samples are the ones left out in the next epoch.

    Args:
        indices: samples of the training split.
        global_batch: samples per optimiser step over all ranks.
    """

    def __init__(
        self,
        samples: Samples,
        indices: torch.Tensor,
        *,
        global_batch: int,
        augment: Augment,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.samples, self.indices, self.global_batch = samples, indices, global_batch
        self.augment, self.seed, self.rank, self.world_size = augment, seed, rank, world_size
        full, tail = divmod(len(indices), global_batch)
        self.steps = full + (tail >= 2 * world_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch in their order."""
        order = self.indices[torch.randperm(len(self.indices), generator=seeded(self.seed, epoch))]
        for step in range(self.steps):
            chosen = order[step * self.global_batch : (step + 1) * self.global_batch]
            changes = augmentation.draw(len(chosen), self.augment, seeded(self.seed, epoch, step))
            mine = slice(self.rank * len(chosen) // self.world_size, (self.rank + 1) * len(chosen) // self.world_size)
            images, targets = self.samples.take(chosen[mine])
            if changes is not None:
                changes = changes[mine].to(self.samples.device, non_blocking=True)
            yield Batch(images, targets, changes, len(chosen), self.augment)


def evaluation_batches(
    samples: Samples, indices: torch.Tensor, *, size: int, rank: int = 0, world_size: int = 1
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Normalised images and targets of this rank's share (every world_size-th sample), in order, nothing left out."""
    for chosen in indices[rank::world_size].split(size):
        images, targets = samples.take(chosen)
        yield augmentation.normalise(images), targets


def seeded(*key: int) -> torch.Generator:
    """A generator whose stream belongs to this key alone, whatever was drawn before."""
    return torch.Generator().manual_seed(mix(*key))


def mix(*key: int) -> int:
    """One 63-bit seed from several numbers, by SplitMix64's finaliser (Steele, Lea, Flood 2014)."""
    state = 0
    for number in key:
        state = (state + number + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1
