"""What the loop asks of whatever is being trained: one network by its task, or a generator and a discriminator."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from trainers.data.batch import Batch
from trainers.data.training_batches import TrainingBatches
from trainers.engine.ema import Ema
from trainers.engine.inference import InferenceBatches
from trainers.engine.micro_batch import AutoMicroBatch
from trainers.engine.precision import choose_dtype
from trainers.engine.world import synchronised
from trainers.experiment import Experiment

Part = tuple[torch.Tensor, ...]  # of a batch: tensors [m, …] of a micro-batch


class Learner(ABC):
    """Steps, evaluates, and gives up its state; every rank has one, and all ranks call it alike.

    Attributes:
        module: all that is trained.
        counts: what a tally counts, the last being samples.
        dtype: of mixed precision.
        steps: optimiser steps per epoch.
    """

    module: nn.Module
    counts: tuple[str, ...]

    def __init__(self, options: Experiment, batches: TrainingBatches, micro_batch: AutoMicroBatch) -> None:
        self.options, self.samples, self.steps = options, batches.samples, batches.steps
        self.micro_batch, self.world = micro_batch, micro_batch.world
        self.dtype = choose_dtype(options.training.precision, self.world.device)
        self.inference = InferenceBatches()
        micro_batch.renew = self._distribute

    @property
    def trained(self) -> int:
        """How many parameters are being trained."""
        return sum(parameter.numel() for parameter in self.module.parameters() if parameter.requires_grad)

    @property
    @abstractmethod
    def rate(self) -> float:
        """The present learning rate (of the last layer group)."""

    @abstractmethod
    def enter_stage(self, epoch: int) -> bool:
        """From an epoch on, counted from 0, trains the layers that it is to train; True if they are other ones."""

    @abstractmethod
    def begin_epoch(self, epoch: int) -> None:
        """Makes ready for an epoch, counted from 0, whose stage has been entered."""

    @abstractmethod
    def step(self, batch: Batch) -> torch.Tensor:
        """One optimiser step on this rank's part of a global batch; returns its tally [len(counts)] float64.

        Raises:
            TooLarge: not even one sample at a time fits into memory.
            OutOfMemory: memory ran out where nothing can be repeated.
        """

    @abstractmethod
    def rehearse(self, batch: Batch, size: int) -> None:
        """Takes the memory of a step in micro-batches of that size, on this rank alone, and leaves no trace."""

    @abstractmethod
    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Lets the schedule know of an epoch's validation metrics."""

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Means, by name, of a tally [len(counts)] summed over steps and ranks; nothing if there were no samples."""
        *sums, samples = tally.tolist()
        return {name: total / samples for name, total in zip(self.counts, sums, strict=False)} if samples else {}

    @abstractmethod
    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """Metrics of a split over all ranks and, if wanted, the task's answers [n, K] for its samples in order."""

    @abstractmethod
    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Images that show how far it has come, and what they were made from; None where there is nothing to see.

        Both are bytes [n, H, W, C]; what is made from noise has no originals.
        """

    @abstractmethod
    def model_state(self) -> dict[str, torch.Tensor]:
        """The weights and buffers that are evaluated and kept: averaged ones where an average is kept."""

    @abstractmethod
    def load_model_state(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        """Puts weights, given on rank 0 and None on the others, into what is evaluated, on every rank.

        Raises RuntimeError: they are of another network: names are missing or unknown, or shapes differ.
        """

    def training_state(self) -> dict[str, Any]:
        """Everything else that the rest of the training depends on, as tensors and plain values.

        Optimisers, schedules and, where an average is kept, the trained weights and the average's own state.
        """
        return {} if self.ema is None else {"trained": self.module.state_dict(), "ema": self.ema.state_dict()}

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to where these were taken.

        Args:
            weights: of `model_state`.
            state: of `training_state`.
            epoch: how many epochs were done then.

        Raises:
            RuntimeError: the weights are of another network.
            KeyError: the state is of other options: of another task, or without the average that is asked for.
            ValueError: an optimiser's state is of other layer groups.
        """
        self.module.load_state_dict(state.get("trained", weights))
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])

    @abstractmethod
    def _distribute(self) -> None:
        """Wraps anew what is trained, on all ranks together."""

    def _average(self, network: nn.Module) -> None:
        """Begins the average that the options ask for, of a network that is the same on every rank by now."""
        decay = self.options.training.ema
        self.ema = Ema(network, decay) if decay is not None else None
        self.evaluated = network if self.ema is None else self.ema.module

    def _accumulate(
        self,
        optimizer: Optimizer,
        model: nn.Module,
        batch: Batch,
        parts: Iterable[Part],
        measure: Callable[[Part], tuple[torch.Tensor, torch.Tensor]],
    ) -> torch.Tensor:
        """Adds up the gradients of a batch's parts; returns the sum of what is counted of them.

        Args:
            model: the network of the optimiser, bare or distributed.
            measure: makes the summed loss [] of a part, and what is counted of it.
        """
        optimizer.zero_grad(set_to_none=True)
        total: torch.Tensor | None = None
        # DDP averages over ranks; the loss is a mean over the global batch, however unequal the parts are.
        share, done = self.world.size / batch.global_size, 0
        for part in parts:
            done += len(part[0])
            last = done == len(batch)
            with synchronised(model, last=last):
                loss, counted = measure(part)
                if last:
                    self.micro_batch.agree()
                (loss * share).backward()
            total = counted if total is None else total + counted
        assert total is not None
        return total
