"""One network, one loss, one optimiser: classification, regression, autoencoding."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from trainers.data.batch import Batch
from trainers.data.training_batches import TrainingBatches
from trainers.engine.learner import Learner, Part
from trainers.engine.micro_batch import AutoMicroBatch
from trainers.engine.optim import make_optimizer
from trainers.engine.precision import autocast
from trainers.engine.rollback import rehearsal
from trainers.engine.schedule import LrSchedule
from trainers.engine.world import distribute
from trainers.experiment import Experiment
from trainers.models import Built, freeze, parameter_groups, stage_at, train_mode
from trainers.tasks import Autoencoding, Task

PICTURES = 16


class Supervised(Learner):
    """The learner of tasks with one network.

    Training goes through stages: at each of `model.unfreeze` more layers are trained, and the optimiser and the
    schedule begin anew for the epochs up to the next (Howard & Ruder 2018, "Universal Language Model Fine-tuning").
    """

    def __init__(
        self, options: Experiment, built: Built, task: Task, batches: TrainingBatches, micro_batch: AutoMicroBatch
    ) -> None:
        super().__init__(options, batches, micro_batch)
        self.built, self.task, self.counts = built, task, task.counts
        self.module = built.module.to(self.world.device).to(memory_format=torch.channels_last)
        self._enter(0)
        self._average(self.module)

    @property
    def rate(self) -> float:
        """The learning rate of the last layer group."""
        return float(self.optimizer.param_groups[-1]["lr"])

    def enter_stage(self, epoch: int) -> bool:
        """Enters the stage that an epoch, counted from 0, belongs to; True if it is another than before."""
        stage = stage_at(self.options.model, epoch)
        changed = stage != self.stage
        if changed:
            self._enter(stage)
        return changed

    def begin_epoch(self, epoch: int) -> None:
        """Enters training mode."""
        train_mode(self.built)
        self.micro_batch.watch(self.module)

    def step(self, batch: Batch, *, scheduled: bool = True) -> torch.Tensor:
        """One optimiser step on the global batch, in micro-batches whose gradients add up; returns its tally.

        `scheduled`: the schedule moves the rate afterwards.
        """
        tally = self.micro_batch.run_or_shrink(
            lambda size: self._add_gradients(self.model, batch, batch.micro_batches(size))
        )
        if self.options.training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.options.training.clip_norm)
        self.optimizer.step()
        if scheduled:
            self.schedule.after_step()
        if self.ema is not None:
            self.ema.update(self.module)
        return tally

    def rehearse(self, batch: Batch, size: int) -> None:
        with rehearsal(self.module, self.world):
            # The second pass finds the gradients of the first in its way.
            self._add_gradients(self.module, batch, islice(batch.micro_batches(size), 2))
            make_optimizer(self.options.optimizer, parameter_groups(self.built)).step()

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        self.schedule.after_epoch(metrics["loss"])

    @torch.inference_mode()
    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """Metrics over all ranks, and on every rank the answers of all samples in order.

        Every sample counts once, whatever the world size.
        """
        network = self.evaluated.eval()
        # BatchNorm's statistics are each rank's own while training; from here on all have those of rank 0.
        for module in dict.fromkeys((self.module, network)):  # in the same order on every rank
            self.world.copy_from_first(module, buffers_only=True)
        tally = torch.zeros(len(self.counts), dtype=torch.float64, device=self.world.device)
        kept: list[torch.Tensor] = []

        def measure(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
            inputs, given = self.samples.take(chosen)
            inputs = self.samples.normalise(inputs)
            targets = self.task.targets(inputs, given)
            with autocast(self.world.device, self.dtype):
                outputs = network(inputs)
            return self.task.tally(outputs, targets), self.task.answers(outputs, targets) if answers else None

        # Every world_size-th sample, nothing left out.
        for counted, answered in self.inference.map(indices[self.world.rank :: self.world.size], measure):
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
        rebuilt = self.evaluated.eval()(self.samples.normalise(originals))
        return self.samples.normalise.undo(rebuilt.float()).cpu().numpy(), originals.cpu().numpy()

    def model_state(self) -> dict[str, torch.Tensor]:
        return self.evaluated.state_dict()

    def load_model_state(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        if weights is not None:
            self.evaluated.load_state_dict(weights)
        self.world.copy_from_first(self.evaluated)

    def training_state(self) -> dict[str, Any]:
        own = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        return own | super().training_state()

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to the end of an epoch, counted from 1, and to its stage; raises as `Learner.restore`."""
        super().restore(weights, state, epoch)
        self._enter(stage_at(self.options.model, epoch - 1))
        groups = self.optimizer.param_groups
        asked = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.options.schedule.name == "constant":
            # The options say what the rates are: those of a trial that goes on with another's weights are its own.
            for group, own in zip(self.optimizer.param_groups, asked, strict=True):
                group.update(own)
        else:
            self.schedule.load_state_dict(state["schedule"])

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
        self.schedule = LrSchedule(options.schedule, self.optimizer, epochs=epochs, steps=self.steps)

    def _distribute(self) -> None:
        self.model: nn.Module = self.module  # the old wrapper's hooks go before the new one's come
        self.model = distribute(self.module, self.world)

    def _add_gradients(self, network: nn.Module, batch: Batch, parts: Iterable[Part]) -> torch.Tensor:
        """Adds up the gradients of micro-batches; returns their tally."""

        def measure(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
            inputs, given = part
            self.micro_batch.entered()
            targets = self.task.targets(inputs, given)
            with autocast(self.world.device, self.dtype):
                outputs = network(inputs)
            return self.task.loss(outputs.float(), targets), self.task.tally(outputs, targets)

        return self._accumulate(self.optimizer, network, batch, parts, measure)
