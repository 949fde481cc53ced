"""The training loop, top to bottom."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from trainers.catalogue import HIGHER_IS_BETTER
from trainers.data.batch import Batch
from trainers.data.seeds import mix
from trainers.data.training_batches import TrainingBatches
from trainers.engine.checkpoint import Checkpoint, CheckpointStore
from trainers.engine.learner import Learner
from trainers.engine.limits import Limits
from trainers.engine.world import World
from trainers.errors import WorkError
from trainers.events import EpochDone, Event, FirstBatch, FirstStep, MicroBatch, Pictured, Progress, Row, Unfrozen
from trainers.experiment import Experiment
from trainers.models import BATCH_NORMS

PROGRESS_SECONDS = 0.5  # between two looks at the running loss: each makes the host wait for the device
SHOWN = 32  # images of the first batch


class Diverged(WorkError):
    """The loss is no longer a number; every rank sees it in the same epoch."""


@dataclass
class Loop:
    """All that the epochs of one run share."""

    options: Experiment
    learner: Learner
    batches: TrainingBatches
    validation: torch.Tensor
    world: World
    store: CheckpointStore
    limits: Callable[[int], Limits]  # what is known of the memory that a number of trained parameters needs
    history: list[Row] = field(default_factory=list)
    stepped: bool = False

    def run(self) -> Iterator[Event]:
        """Trains from the checkpoint that was restored, or from the start; yields what there is to tell.

        Raises:
            Diverged: a training loss became infinite or not a number.
            TooLarge: not even one sample at a time fits into memory.
        """
        begun = False
        for epoch in range(len(self.history), self.options.training.epochs):
            if self._out_of_patience():
                return
            started = time.perf_counter()
            unfrozen = self.learner.enter_stage(epoch)
            self.learner.begin_epoch(epoch)
            if unfrozen:
                yield Unfrozen(epoch + 1, self.learner.trained)
            if unfrozen or not begun:
                find_micro_batch(self.learner, self.batches, self.limits)
                yield self._micro_batch(epoch, 0)
                begun = True
            learning_rate = self.learner.rate
            train = yield from self._train_epoch(epoch)
            seconds = time.perf_counter() - started
            self._check(train, epoch)
            validation, _ = self.learner.evaluate(self.validation)
            self.learner.end_epoch(validation)
            if self.world.is_first and (picture := self.learner.picture(self.validation)) is not None:
                yield Pictured(epoch + 1, *picture)
            row: Row = {
                "epoch": epoch + 1,
                **{f"train/{name}": value for name, value in train.items()},
                **{f"validation/{name}": value for name, value in validation.items()},
                "lr": learning_rate,
                "micro_batch": float(self.learner.micro_batch.size),
                "samples_per_second": self._samples_per_epoch() / seconds,
                "seconds": time.perf_counter() - started,
            }
            row["best"] = float(self._is_best(row))
            self.history.append(row)
            yield EpochDone(row, self._save())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint: from here on everything is as it was then."""
        self.learner.restore(checkpoint.weights, checkpoint.training, checkpoint.epoch)
        self.history = list(checkpoint.history)
        # With the same parts as before the interruption, the sums are the same bit for bit.
        micro_batch = self.learner.micro_batch
        micro_batch.size = min(micro_batch.size, int(checkpoint.history[-1].get("micro_batch", micro_batch.size)))

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, whose weights are best."""
        return max(int(row["epoch"]) for row in self.history if row["best"])

    def _train_epoch(self, epoch: int) -> Generator[Event, None, Row]:
        tally = torch.zeros(len(self.learner.counts), dtype=torch.float64, device=self.world.device)
        shown = started = time.monotonic()
        for step, batch in enumerate(self.batches.epoch(epoch)):
            # Dropout, too, draws from the place in the run and not from what was drawn before it.
            torch.manual_seed(mix(self.options.seed, epoch, step, self.world.rank))
            if epoch == step == 0 and self.world.is_first and (first := self._first_batch(batch)) is not None:
                yield first
            size = self.learner.micro_batch.size
            tally += self.learner.step(batch)
            if self.learner.micro_batch.size < size:
                yield self._micro_batch(epoch, step)
            if not self.stepped:
                self.stepped = True
                yield FirstStep(time.time())
            now = time.monotonic()
            if self.world.is_first and now - shown >= PROGRESS_SECONDS:
                shown = now
                done = (step + 1) * self.options.training.batch_size
                seen = self.learner.metrics(tally)
                yield Progress(epoch + 1, step + 1, self.batches.steps, seen, done / (now - started))
        return self.learner.metrics(self.world.sum(tally))

    def _micro_batch(self, epoch: int, step: int) -> MicroBatch:
        micro = self.learner.micro_batch
        norms = [part for part in self.learner.module.modules() if isinstance(part, BATCH_NORMS) and part.training]
        over = micro.size * (self.world.size if norms and isinstance(norms[0], nn.SyncBatchNorm) else 1)
        return MicroBatch(micro.size, micro.share, epoch + 1, step + 1, micro.cause, over if norms else None)

    def _first_batch(self, batch: Batch) -> FirstBatch | None:
        """What the network is about to see, if it is images."""
        inputs, targets = next(batch.micro_batches(self.learner.micro_batch.size))
        if inputs.ndim != 4:
            return None
        images = self.batches.samples.normalise.undo(inputs[:SHOWN]).cpu().numpy()
        labels = targets[:SHOWN].argmax(dim=1) if targets.ndim == 2 else targets[:SHOWN]
        return FirstBatch(np.ascontiguousarray(images), labels.cpu().numpy())

    def _check(self, train: Row, epoch: int) -> None:
        for name, value in train.items():
            if not math.isfinite(value):
                raise Diverged(
                    f"the training {name.replace('_', ' ')} became {value} in epoch {epoch + 1}: lower optimizer.lr "
                    f"({self.options.optimizer.lr:g}) or set training.clip_norm"
                )

    def _samples_per_epoch(self) -> int:
        return min(self.batches.steps * self.options.training.batch_size, len(self.batches.indices))

    def _score(self, row: Row) -> float:
        """The metric that chooses the weights, the higher the better."""
        name = self.options.score
        value = row[f"validation/{name}"]
        return value if name in HIGHER_IS_BETTER else -value

    def _is_best(self, row: Row) -> bool:
        return all(self._score(row) > self._score(earlier) for earlier in self.history)

    def _out_of_patience(self) -> bool:
        patience = self.options.training.patience
        return patience is not None and bool(self.history) and len(self.history) - self.best_epoch >= patience

    def _save(self) -> str:
        epoch = len(self.history)
        if self.world.is_first:
            self.store.save(Checkpoint(epoch, self.learner.model_state(), self.learner.training_state(), self.history))
        return str(self.store.path(epoch))


def find_micro_batch(learner: Learner, batches: TrainingBatches, limits: Callable[[int], Limits]) -> None:
    """Halves the micro-batch until it fits on every rank, for what is trained now.

    Raises TooLarge: not even one sample at a time fits.
    """
    # The first batch is as large as any.
    batch = next(batches.epoch(0))
    learner.micro_batch.shrink_to_fit(lambda size: learner.rehearse(batch, size), limits(learner.trained))
