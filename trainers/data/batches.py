"""The splits of a pack as batches on the device that trains: no Python per sample, no wait for the host."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from trainers.data import augment as augmentation
from trainers.data.mixing import Blend, draw_blend
from trainers.data.normalise import Normalise
from trainers.data.pack import Pack
from trainers.errors import RequestError
from trainers.experiment import Augment

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
        """Inputs, as they lie in the pack, and targets of the given samples, on the device."""
        inputs = self.inputs[indices.to(self.inputs.device, non_blocking=True)]
        if inputs.device != self.device:
            inputs = inputs.pin_memory().to(self.device, non_blocking=True)
        return inputs, self.targets[indices.to(self.device, non_blocking=True)]

    def prepare(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network sees of inputs as they lie in the pack, not augmented: floats [n, C, H, W] or [n, D]."""
        return self.normalise(inputs)


@dataclass(frozen=True)
class Batch:
    """One rank's part of a global batch, whose samples are fetched as they are wanted.

    Attributes:
        indices: of its samples in the pack [n].
        places: of its samples in the global batch [n].
        changes: to each image, [n, augment.COLUMNS]; None: none.
        key: from which RandAugment draws.
        global_size: the global batch's number of samples.
        loader: where it comes from.
        mixed: how it is blended, and its partners; None: not at all.
    """

    indices: torch.Tensor
    places: torch.Tensor
    changes: torch.Tensor | None
    key: int
    global_size: int
    loader: "TrainingBatches"
    mixed: "tuple[Blend, Batch] | None" = None

    def __len__(self) -> int:
        return len(self.indices)

    def micro_batches(self, size: int | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Inputs, augmented and normalised, and targets in parts of nearly equal length m ≤ size.

        Inputs are floats [m, C, H, W] or [m, D]; targets are class numbers [m] or values [m, T] or, where images are
        blended, shares of the classes [m, classes].
        """
        if self.mixed is None:
            yield from self._parts(size)
            return
        blend, partners = self.mixed
        for (own, targets), (others, their_targets) in zip(self._parts(size), partners._parts(size), strict=True):
            yield blend.inputs(own, others), blend.targets(targets, their_targets, self.loader.classes)

    def _parts(self, size: int | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        count = 1 if size is None else -(-len(self) // size)
        samples, augment = self.loader.samples, self.loader.augment
        for part in torch.arange(len(self)).tensor_split(count):
            inputs, targets = samples.take(self.indices[part])
            if augment.randaugment:
                seeds = [mix(self.key, place) for place in self.places[part].tolist()]
                inputs = augmentation.rand_augment(inputs, seeds, augment)
            changes = None if self.changes is None else self.changes[part].to(samples.device, non_blocking=True)
            yield augmentation.apply(inputs, changes, augment, samples.normalise), targets


class TrainingBatches:
    """The shuffled global batches of the training split, of which each rank takes its part.

    The order of an epoch comes from (seed, epoch), the augmentation from (seed, epoch, step): neither depends on the
    number of ranks. The last batch is as short as it is, unless it is too short to give each rank two samples (below
    which BatchNorm has no variance): then it is left out, and other samples are the ones left out in the next epoch.

    Args:
        indices: samples of the training split.
        global_batch: samples per optimiser step over all ranks.
        classes: how many there are; 0 where values are predicted.

    Raises:
        RequestError: augmentation is asked for, but the inputs are vectors.
    """

    def __init__(
        self,
        samples: Samples,
        indices: torch.Tensor,
        *,
        global_batch: int,
        augment: Augment,
        seed: int,
        classes: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        asked = augmentation.asked(augment)
        if asked and samples.inputs.ndim == 2:
            raise RequestError(f"data.augment.{asked[0]}: changes images, but the inputs are vectors; take it out")
        self.samples, self.indices, self.global_batch = samples, indices, global_batch
        self.augment, self.seed, self.rank, self.world_size = augment, seed, rank, world_size
        self.classes = classes
        full, tail = divmod(len(indices), global_batch)
        self.steps = full + (tail >= 2 * world_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch in their order."""
        order = self.indices[torch.randperm(len(self.indices), generator=seeded(self.seed, epoch))]
        for step in range(self.steps):
            chosen = order[step * self.global_batch : (step + 1) * self.global_batch]
            key = mix(self.seed, epoch, step)
            changes = augmentation.draw(len(chosen), self.augment, torch.Generator().manual_seed(key))
            mine = torch.arange(
                self.rank * len(chosen) // self.world_size, (self.rank + 1) * len(chosen) // self.world_size
            )
            batch = self._part(chosen, mine, changes, key)
            blend = draw_blend(len(chosen), self.samples.inputs.shape[1], self.augment, key)
            if blend is not None:
                batch = replace(batch, mixed=(blend, self._part(chosen, blend.partners[mine], changes, key)))
            yield batch

    def _part(self, chosen: torch.Tensor, places: torch.Tensor, changes: torch.Tensor | None, key: int) -> Batch:
        """The samples at these places of the global batch, with the changes that are theirs on whichever rank."""
        return Batch(chosen[places], places, None if changes is None else changes[places], key, len(chosen), self)


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
