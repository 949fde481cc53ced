"""The training split as shuffled batches, of which each rank takes its part."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from trainers.data.augment import asked, draw_changes
from trainers.data.batch import Batch
from trainers.data.mixing import draw_blend
from trainers.data.samples import Samples
from trainers.data.seeds import mix
from trainers.errors import RequestError
from trainers.experiment import Augment


class TrainingBatches:
    """The shuffled global batches of the training split, of which each rank takes its part.

    The order of an epoch comes from (seed, epoch), the augmentation from (seed, epoch, step): neither depends on the
    number of ranks. The last batch is as short as it is, unless it is too short to give each rank two samples (below
    which BatchNorm has no variance): then it is left out, and other samples are the ones left out in the next epoch.

    Args:
        indices: places in the pack of the samples of the training split, [N].
        global_batch: samples per optimiser step over all ranks.
        seed: another one is another order and other changes.
        classes: how many there are; 0 where values are predicted.

    Raises RequestError: augmentation is asked for, but the inputs are vectors.
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
        changed = asked(augment)
        if changed and samples.inputs.ndim == 2:
            raise RequestError(f"data.augment.{changed[0]}: changes images, but the inputs are vectors; take it out")
        self.samples, self.indices, self.global_batch = samples, indices, global_batch
        self.augment, self.seed, self.rank, self.world_size = augment, seed, rank, world_size
        self.classes = classes
        full, tail = divmod(len(indices), global_batch)
        self.steps = full + (tail >= 2 * world_size)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch in their order."""
        shuffling = torch.Generator().manual_seed(mix(self.seed, epoch))
        order = self.indices[torch.randperm(len(self.indices), generator=shuffling)]
        for step in range(self.steps):
            chosen = order[step * self.global_batch : (step + 1) * self.global_batch]
            key = mix(self.seed, epoch, step)
            changes = draw_changes(len(chosen), self.augment, torch.Generator().manual_seed(key))
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
        theirs = None if changes is None else changes[places]
        return Batch(chosen[places], places, theirs, key, len(chosen), self.samples, self.augment, self.classes)
