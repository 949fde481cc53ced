"""One network, one loss, one optimiser: classification, regression, autoencoding."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.data.batch import Batch
from trainers.data.samples import Samples
from trainers.engine.ema import Ema
from trainers.engine.learner import choose_dtype, distribute, rehearsal, synchronised
from trainers.engine.memory import Memory
from trainers.engine.optim import make_optimizer
from trainers.engine.schedule import Schedule
from trainers.engine.world import World
from trainers.experiment import Experiment
from trainers.models import Built, freeze, parameter_groups, stage_at, train_mode
from trainers.tasks import Autoencoding, Task

PICTURES = 16


class Supervised:
    """The learner of tasks with one network.

    Training goes through stages: at each of `model.unfreeze` more layers are trained, and the optimiser and the
    schedule begin anew for the epochs up to the next (Howard & Ruder 2018, "Universal Language Model Fine-tuning").

    Args:
        steps: optimiser steps per epoch.
    """

    def __init__(
        self,
        options: Experiment,
        built: Built,
        task: Task,
        samples: Samples,
        world: World,
        memory: Memory,
        *,
        steps: int,
    ) -> None:
        self.options, self.built, self.task, self.samples, self.world = options, built, task, samples, world
        self.memory, self.steps, self.metrics = memory, steps, task.metrics
        memory.renew = self._distribute
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
        self.memory.watch(self.module)
        return changed

    def step(self, batch: Batch, *, scheduled: bool = True) -> torch.Tensor:
        """One optimiser step on the global batch, in micro-batches whose gradients add up; returns its tally.

        `scheduled`: the schedule moves the rate afterwards.
        """
        tally = self.memory.attempt(lambda size: self._accumulate(self.model, batch, batch.micro_batches(size)))
        if self.options.training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.options.training.clip_norm)
        self.optimizer.step()
        if scheduled:
            self.schedule.after_step()
        if self.ema is not None:
            self.ema.update(self.module)
        return tally

    def rehearse(self, batch: Batch, size: int) -> None:
        """Takes the memory of a step in micro-batches of that size, on this rank alone, and leaves no trace."""
        with rehearsal(self.module, self.world):
            # The second pass finds the gradients of the first in its way.
            self._accumulate(self.module, batch, islice(batch.micro_batches(size), 2))
            make_optimizer(self.options.optimizer, parameter_groups(self.built)).step()

    def end(self, metrics: Mapping[str, float]) -> None:
        """Lets the schedule know."""
        self.schedule.after_epoch(metrics["loss"])

    @torch.inference_mode()
    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """Metrics over all ranks, and on every rank the answers of all samples in order.

        Every sample counts once, whatever the world size.
        """
        used = network = self._used().eval()
        # BatchNorm's statistics are each rank's own while training; from here on all have those of rank 0.
        for module in dict.fromkeys((self.module, used)):  # in the same order on every rank
            self.world.copy_from_first(module, buffers_only=True)
        tally = torch.zeros(len(self.counts), dtype=torch.float64, device=self.world.device)
        kept: list[torch.Tensor] = []

        def measure(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            inputs, given = self.samples.take(chosen)
            inputs = self.samples.normalise(inputs)
            targets = self.task.targets(inputs, given)
            with self._autocast():
                outputs = network(inputs)
            return self.task.tally(outputs, targets), self.task.answers(outputs, targets) if answers else None

        # Every world_size-th sample, nothing left out.
        for counted, answered in self.memory.in_parts(indices[self.world.rank :: self.world.size], measure):
            tally += counted
            kept += [] if answered is None else [answered]
        metrics = self.metrics(self.world.sum(tally))
        return metrics, self.world.gather_rows(kept, len(indices)) if answers else tally[:0]

    @torch.inference_mode()
    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """What an autoencoder makes of the first images of a split."""
        if not isinstance(self.task, Autoencoding):
            return None
        originals, _ = self.samples.take(indices[:PICTURES])
        rebuilt = self._used().eval()(self.samples.normalise(originals))
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
        asked = [{name: value for name, value in group.items() if name != "params"} for group in self._groups]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.options.schedule.name == "constant":
            # The options say what the rates are: those of a trial that goes on with another's weights are its own.
            for group, own in zip(self._groups, asked, strict=True):
                group.update(own)
        else:
            self.schedule.load_state_dict(state["schedule"])

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _enter(self, stage: int) -> None:
        options = self.options
        self.stage = stage
        freeze(self.built, options.model, stage)
        self._distribute()
        factor = options.optimizer.unfreeze_factor**stage
        self.optimizer = make_optimizer(options.optimizer, parameter_groups(self.built), factor=factor)
        total = options.training.epochs
        begins = [0, *(min(epoch - 1, total) for epoch in options.model.unfreeze), total]
        epochs = max(1, begins[stage + 1] - begins[stage])
        self.schedule = Schedule(options.schedule, self.optimizer, epochs=epochs, steps=self.steps)

    def _distribute(self) -> None:
        self.model: nn.Module = self.module  # the old wrapper's hooks go before the new one's come
        self.model = distribute(self.module, self.world)

    def _accumulate(
        self, network: nn.Module, batch: Batch, parts: Iterator[tuple[torch.Tensor, torch.Tensor]]
    ) -> torch.Tensor:
        """Adds up the gradients of micro-batches; returns their tally."""
        self.optimizer.zero_grad(set_to_none=True)
        tally = torch.zeros(len(self.counts), dtype=torch.float64, device=self.world.device)
        # DDP averages over ranks; the loss is a mean over the global batch, however unequal the parts are.
        share, done = self.world.size / batch.global_size, 0
        for inputs, given in parts:
            self.memory.entered()
            done += len(inputs)
            targets = self.task.targets(inputs, given)
            with synchronised(network, last=done == len(batch)):
                with self._autocast():
                    outputs = network(inputs)
                loss = self.task.loss(outputs.float(), targets) * share
                if done == len(batch):
                    self.memory.agree()
                loss.backward()
            tally += self.task.tally(outputs, targets)
        return tally

    def _used(self) -> nn.Module:
        return self.module if self.ema is None else self.ema.module

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self.world.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)
