"""One network, one loss, one optimiser: classification, regression, autoencoding."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.data.batches import Batch, Samples, evaluation_batches
from trainers.engine.ema import Ema
from trainers.engine.learner import choose_dtype, distribute
from trainers.engine.optim import make_optimizer
from trainers.engine.schedule import Schedule
from trainers.engine.world import World
from trainers.experiment import Experiment
from trainers.models import Built, freeze, parameter_groups, stage_at, train_mode
from trainers.tasks import Autoencoding, Task

EVALUATION_BATCH = 256  # per rank; without gradients it needs less memory than a quarter of it in training
PICTURES = 16


class Supervised:
    """The learner of tasks with one network.

    Training goes through stages: at each of `model.unfreeze` more layers are trained, and the optimiser and the
    schedule begin anew for the epochs up to the next (Howard & Ruder 2018, "Universal Language Model Fine-tuning").

    Args:
        steps: optimiser steps per epoch.
    """

    def __init__(
        self, options: Experiment, built: Built, task: Task, samples: Samples, world: World, *, steps: int
    ) -> None:
        self.options, self.built, self.task, self.samples, self.world = options, built, task, samples, world
        self.steps, self.metrics = steps, task.metrics
        self.counts: tuple[str, ...] = task.counts
        self.dtype = choose_dtype(options.training.precision, world.device)
        self.module = built.module.to(world.device).to(memory_format=torch.channels_last)
        self._enter(0)
        # Copied only now that every rank has the weights of rank 0.
        self.ema = Ema(self.module, options.training.ema) if options.training.ema is not None else None

    @property
    def trained(self) -> int:
        """How many parameters are being trained."""
        return sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)

    @property
    def rate(self) -> float:
        """The learning rate of the last layer group."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def begin(self, epoch: int) -> bool:
        """Enters the stage that the epoch belongs to, and training mode."""
        stage = stage_at(self.options.model, epoch)
        changed = stage != self.stage
        if changed:
            self._enter(stage)
        train_mode(self.built)
        return changed

    def step(self, batch: Batch, *, scheduled: bool = True) -> torch.Tensor:
        """One optimiser step on the global batch, in micro-batches whose gradients add up; returns its tally.

        `scheduled`: the schedule moves the rate afterwards.
        """
        training = self.options.training
        self.optimizer.zero_grad(set_to_none=True)
        tally = torch.zeros(len(self.counts), dtype=torch.float64, device=self.world.device)
        done = 0
        for inputs, given in batch.micro_batches(training.micro_batch):
            done += len(inputs)
            targets = self.task.targets(inputs, given)
            # DDP averages over ranks; the loss is a mean over the global batch, however unequal the parts are.
            share = self.world.size / batch.global_size
            with self._synchronised(last=done == len(batch)):
                with self._autocast():
                    outputs = self.model(inputs)
                (self.task.loss(outputs.float(), targets) * share).backward()
            tally += self.task.tally(outputs, targets)
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), training.clip_norm)
        self.optimizer.step()
        if scheduled:
            self.schedule.after_step()
        if self.ema is not None:
            self.ema.update(self.module)
        return tally

    def end(self, metrics: Mapping[str, float]) -> None:
        """Lets the schedule know."""
        self.schedule.after_epoch(metrics["loss"])

    @torch.inference_mode()
    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """Metrics over all ranks, and on every rank the answers of all samples in order.

        Every sample counts once, whatever the world size.
        """
        network = self._used().eval()
        # BatchNorm's statistics are each rank's own while training; from here on all have those of rank 0.
        for module in dict.fromkeys((self.module, network)):  # in the same order on every rank
            self.world.copy_from_first(module, buffers_only=True)
        tally = torch.zeros(len(self.counts), dtype=torch.float64, device=self.world.device)
        kept: list[torch.Tensor] = []
        for inputs, given in self._mine(indices):
            targets = self.task.targets(inputs, given)
            with self._autocast():
                outputs = network(inputs)
            tally += self.task.tally(outputs, targets)
            if answers:
                kept.append(self.task.answers(outputs, targets))
        metrics = self.metrics(self.world.sum(tally))
        return metrics, self.world.gather_rows(kept, len(indices)) if answers else tally[:0]

    @torch.inference_mode()
    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """What an autoencoder makes of the first images of a split."""
        if not isinstance(self.task, Autoencoding):
            return None
        originals, _ = self.samples.take(indices[:PICTURES])
        rebuilt = self._used().eval()(self.samples.prepare(originals))
        return self.samples.normalise.undo(rebuilt.float()).cpu().numpy(), originals.cpu().numpy()

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged weights where an average is kept, else those that are trained."""
        return self._used().state_dict()

    def use(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        """Puts rank 0's weights into what is evaluated."""
        if weights is not None:
            self._used().load_state_dict(weights)
        self.world.copy_from_first(self._used())

    def state(self) -> dict[str, Any]:
        """Optimiser, schedule and, where an average is kept, the trained weights and the average's own state."""
        state = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        if self.ema is not None:
            state |= {"trained": self.module.state_dict(), "ema": self.ema.state_dict()}
        return state

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to the end of an epoch, counted from 1."""
        self.module.load_state_dict(state.get("trained", weights))
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self._enter(stage_at(self.options.model, epoch - 1))
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _enter(self, stage: int) -> None:
        options = self.options
        self.stage = stage
        freeze(self.built, options.model, stage)
        self.model: nn.Module = self.module  # the old wrapper's hooks go before the new one's come
        self.model = distribute(self.module, self.world)
        factor = options.optimizer.unfreeze_factor**stage
        self.optimizer = make_optimizer(options.optimizer, parameter_groups(self.built), factor=factor)
        total = options.training.epochs
        begins = [0, *(min(epoch - 1, total) for epoch in options.model.unfreeze), total]
        epochs = max(1, begins[stage + 1] - begins[stage])
        self.schedule = Schedule(options.schedule, self.optimizer, epochs=epochs, steps=self.steps)

    def _used(self) -> nn.Module:
        return self.module if self.ema is None else self.ema.module

    def _mine(self, indices: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return evaluation_batches(
            self.samples, indices, size=EVALUATION_BATCH, rank=self.world.rank, world_size=self.world.size
        )

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.world.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _synchronised(self, *, last: bool) -> AbstractContextManager[object]:
        """Gradients are averaged over the ranks with the last micro-batch alone."""
        if last or self.world.size == 1:
            return nullcontext()
        return self.model.no_sync()  # type: ignore[operator,no-any-return]
