"""The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, count

import torch

from trainers.data.seeds import mix
from trainers.data.training_batches import TrainingBatches
from trainers.engine.lr_curve import LrCurve
from trainers.engine.supervised import Supervised
from trainers.engine.world import World
from trainers.events import Event, FirstStep, Progress, RangeTested


@dataclass(frozen=True)
class RangeTest:
    """Learning rates from `low` to `high` in equal ratios, one for each of `steps` optimiser steps, two at least."""

    low: float = 1e-7
    high: float = 10.0
    steps: int = 100

    def rates(self) -> list[float]:
        """The rates of the last layer group in the order of the steps.

        Raises ZeroDivisionError: one step, which has no ratio.
        """
        ratio = (self.high / self.low) ** (1 / (self.steps - 1))
        return [self.low * ratio**step for step in range(self.steps)]


def run_range_test(
    test: RangeTest, learner: Supervised, batches: TrainingBatches, world: World, seed: int
) -> Iterator[Event]:
    """Takes a step at each rate, over all ranks alike, until the loss explodes; the weights are as before afterwards.

    Rates of layer groups keep their ratios.
    """
    before = {name: tensor.clone() for name, tensor in learner.module.state_dict().items()}
    groups = learner.optimizer.param_groups
    ratios = [group["lr"] / learner.rate for group in groups]
    rates, losses = [], []
    learner.enter_stage(0)
    learner.begin_epoch(0)
    endless = chain.from_iterable(map(batches.epoch, count()))
    for step, (rate, batch) in enumerate(zip(test.rates(), endless, strict=False)):
        torch.manual_seed(mix(seed, step, world.rank))
        for group, ratio in zip(groups, ratios, strict=True):
            group["lr"] = rate * ratio
        loss = learner.metrics(world.sum(learner.step(batch, scheduled=False)))["loss"]
        if step == 0:
            yield FirstStep(0.0)
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        yield Progress(1, step + 1, test.steps, {"lr": rate, "loss": loss}, 0.0)
        if LrCurve(rates, losses).exploded:
            break
    learner.module.load_state_dict(before)
    yield RangeTested(rates, losses)
