"""One rank's part of a global batch: fetched, augmented and blended on the device, without a wait for the host."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from trainers.data.augment import apply_changes, rand_augment
from trainers.data.mixing import Blend
from trainers.data.samples import Samples
from trainers.data.seeds import mix
from trainers.experiment import Augment


@dataclass(frozen=True)
class Batch:
    """One rank's part of a global batch, whose samples are fetched as they are wanted.

    Attributes:
        indices: of its samples in the pack [n].
        places: of its samples in the global batch [n].
        changes: to each image, [n, augment.COLUMNS]; None: none.
        key: from which RandAugment draws.
        global_size: the global batch's number of samples.
        samples: what `indices` are among.
        augment: what is asked for, of which `changes` were drawn.
        classes: how many there are; 0 where values are predicted.
        mixed: how it is blended, and its partners; None: not at all.
    """

    indices: torch.Tensor
    places: torch.Tensor
    changes: torch.Tensor | None
    key: int
    global_size: int
    samples: Samples
    augment: Augment
    classes: int
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
            yield blend.inputs(own, others), blend.targets(targets, their_targets, self.classes)

    def _parts(self, size: int | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        count = 1 if size is None else -(-len(self) // size)
        for part in torch.arange(len(self)).tensor_split(count):
            inputs, targets = self.samples.take(self.indices[part])
            if self.augment.randaugment:
                seeds = [mix(self.key, place) for place in self.places[part].tolist()]
                inputs = rand_augment(inputs, seeds, self.augment)
            changes = None if self.changes is None else self.changes[part].to(self.samples.device, non_blocking=True)
            yield apply_changes(inputs, changes, self.augment, self.samples.normalise), targets
