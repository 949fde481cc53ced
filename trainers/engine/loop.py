"""The training loop, top to bottom."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trainers.data.batches import Batch, Samples, TrainingBatches, mix
from trainers.engine.checkpoint import Checkpoint, CheckpointStore
from trainers.engine.evaluate import evaluate
from trainers.engine.optim import Schedule, make_optimizer
from trainers.engine.world import World
from trainers.errors import WorkError
from trainers.events import EpochDone, Event, FirstStep, Progress, Row
from trainers.experiment import Experiment
from trainers.models import Built, train_mode
from trainers.tasks import Classification

PROGRESS_SECONDS = 0.5  # between two looks at the running loss: each makes the host wait for the device


class Diverged(WorkError):
    """The loss is no longer a number; every rank sees it in the same epoch."""


@dataclass
class Loop:
    """All that the epochs of one run share."""

    options: Experiment
    built: Built
    task: Classification
    samples: Samples
    train: torch.Tensor
    validation: torch.Tensor
    world: World
    store: CheckpointStore

    def __post_init__(self) -> None:
        training = self.options.training
        self.dtype = choose_dtype(training.precision, self.world.device)
        self.module = self.built.module.to(self.world.device).to(memory_format=torch.channels_last)
        self.model: nn.Module = self.module
        if self.world.size > 1:
            # Buffers are made equal once per epoch instead of in each forward pass: it is one collective less per step.
            on = [self.world.device] if self.world.device.type == "cuda" else None
            self.model = DistributedDataParallel(
                self.module, device_ids=on, broadcast_buffers=False, gradient_as_bucket_view=True
            )
        self.batches = TrainingBatches(
            self.samples,
            self.train,
            global_batch=training.batch_size,
            augment=self.options.data.augment,
            seed=self.options.seed,
            rank=self.world.rank,
            world_size=self.world.size,
        )
        self.optimizer = make_optimizer(self.options.optimizer, self.module.parameters())
        self.schedule = Schedule(
            self.options.schedule, self.optimizer, epochs=training.epochs, steps=self.batches.steps
        )
        self.history: list[Row] = []
        self.stepped = False

    def run(self) -> Iterator[Event]:
        """Trains from the checkpoint that was restored, or from the start; yields what there is to tell.

        Raises:
            Diverged: the training loss became infinite or not a number.
        """
        for epoch in range(len(self.history), self.options.training.epochs):
            if self._out_of_patience():
                return
            started = time.perf_counter()
            learning_rate = self.optimizer.param_groups[0]["lr"]
            train = yield from self._train_epoch(epoch)
            seconds = time.perf_counter() - started
            if not math.isfinite(train["loss"]):
                raise Diverged(
                    f"the training loss became {train['loss']} in epoch {epoch + 1}: lower optimizer.lr "
                    f"({self.options.optimizer.lr:g}) or set training.clip_norm"
                )
            self.world.copy_from_first(self.module, buffers_only=True)
            validation, _ = evaluate(
                self.module, self.task, self.samples, self.validation, self.world, dtype=self.dtype
            )
            row: Row = {
                "epoch": epoch + 1,
                **{f"train/{name}": value for name, value in train.items()},
                **{f"validation/{name}": value for name, value in validation.items()},
                "lr": learning_rate,
                "samples_per_second": self._samples_per_epoch() / seconds,
                "seconds": time.perf_counter() - started,
            }
            row["best"] = float(self._is_best(row))
            self.history.append(row)
            yield EpochDone(row, self._save())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint: from here on everything is as it was then."""
        self.module.load_state_dict(checkpoint.weights)
        self.optimizer.load_state_dict(checkpoint.training["optimizer"])
        self.schedule.scheduler.load_state_dict(checkpoint.training["schedule"])
        self.history = list(checkpoint.history)

    def _train_epoch(self, epoch: int) -> Generator[Event, None, dict[str, float]]:
        train_mode(self.module, self.options.model, self.built.head)
        tally = torch.zeros(len(self.task.counts), dtype=torch.float64, device=self.world.device)
        shown = started = time.monotonic()
        for step, batch in enumerate(self.batches.epoch(epoch)):
            # Dropout, too, draws from the place in the run and not from what was drawn before it.
            torch.manual_seed(mix(self.options.seed, epoch, step, self.world.rank))
            tally += self._step(batch)
            if not self.stepped:
                self.stepped = True
                yield FirstStep(time.time())
            now = time.monotonic()
            if self.world.is_first and now - shown >= PROGRESS_SECONDS:
                shown = now
                done = (step + 1) * self.options.training.batch_size
                seen = self.task.metrics(tally)
                yield Progress(
                    epoch + 1, step + 1, self.batches.steps, **seen, samples_per_second=done / (now - started)
                )
        self.schedule.after_epoch()
        return self.task.metrics(self.world.sum(tally))

    def _step(self, batch: Batch) -> torch.Tensor:
        """One optimiser step on the global batch, in micro-batches whose gradients add up; returns its tally."""
        training = self.options.training
        self.optimizer.zero_grad(set_to_none=True)
        tally = torch.zeros(len(self.task.counts), dtype=torch.float64, device=self.world.device)
        done = 0
        for images, targets in batch.micro_batches(training.micro_batch):
            done += len(targets)
            last = done == len(batch)
            # DDP averages over ranks; the loss is a mean over the global batch, however unequal the parts are.
            share = self.world.size / batch.global_size
            with nullcontext() if last or self.world.size == 1 else self.model.no_sync():  # type: ignore[operator]
                with torch.autocast(self.world.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                    logits = self.model(images)
                (self.task.loss(logits.float(), targets) * share).backward()
            tally += self.task.tally(logits, targets)
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), training.clip_norm)
        self.optimizer.step()
        self.schedule.after_step()
        return tally

    def _samples_per_epoch(self) -> int:
        return min(self.batches.steps * self.options.training.batch_size, len(self.train))

    def _score(self, row: Row) -> float:
        """The metric that chooses the weights, the higher the better."""
        best = self.options.training.best
        value = row[f"validation/{best}"]
        return -value if best == "loss" else value

    def _is_best(self, row: Row) -> bool:
        return all(self._score(row) > self._score(earlier) for earlier in self.history)

    def _out_of_patience(self) -> bool:
        patience = self.options.training.patience
        best = max((int(row["epoch"]) for row in self.history if row["best"]), default=0)
        return patience is not None and len(self.history) - best >= patience

    def _save(self) -> str:
        epoch = len(self.history)
        if self.world.is_first:
            training = {
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.scheduler.state_dict(),
            }
            self.store.save(Checkpoint(epoch, self.module.state_dict(), training, self.history))
        return str(self.store.path(epoch))


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of mixed precision: bf16 where asked for, or where a GPU has it in hardware; else float32."""
    if precision == "bf16":
        return torch.bfloat16
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if precision == "auto" and has_bf16 else torch.float32
