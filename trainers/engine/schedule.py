"""Learning-rate schedules by name."""

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ExponentialLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from trainers import experiment as schema

BY_STEP = ("cosine", "one-cycle")


class LrSchedule:
    """Moves the rates of all parameter groups, by the step or by the epoch as the schedule has it.

    Args:
        optimizer: its rates are those that the schedule starts from, or goes up to.
        epochs: from here to the end of the run.
        steps: optimiser steps in an epoch.

    cosine and one-cycle last for `epochs * steps` steps; steps beyond keep the last rate.
    """

    def __init__(self, options: schema.Schedule, optimizer: Optimizer, *, epochs: int, steps: int) -> None:
        self._by_step = options.name in BY_STEP
        self._last_step = epochs * steps - 1
        self._scheduler = _make_scheduler(options, optimizer, epochs * steps)

    def after_step(self) -> None:
        """To be called after each optimiser step."""
        if self._by_step and self._scheduler.last_epoch < self._last_step:
            self._scheduler.step()

    def after_epoch(self, validation_loss: float) -> None:
        """To be called after each epoch's last step and its validation.

        Args:
            validation_loss: the mean over the split, by which a plateau is told; the other schedules do not look at it.
        """
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(validation_loss)
        elif not self._by_step:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule is, among an epoch's steps or after it; the rates are in the optimiser's own state."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes back to a state of the same schedule; the optimiser's is to be loaded too, in either order."""
        self._scheduler.load_state_dict(state)


def _make_scheduler(options: schema.Schedule, optimizer: Optimizer, total: int) -> LRScheduler:
    match options.name:
        case "constant":
            return LambdaLR(optimizer, lambda epoch: 1.0)
        case "step":
            return StepLR(optimizer, options.step_size, options.gamma)
        case "multi-step":
            return MultiStepLR(optimizer, options.milestones, options.gamma)
        case "exponential":
            return ExponentialLR(optimizer, options.gamma)
        case "plateau":
            # eps: a drop of a small rate is a drop, too.
            return ReduceLROnPlateau(optimizer, factor=options.gamma, patience=options.patience, eps=0.0)
        case "cosine":
            return LambdaLR(optimizer, _cosine(int(options.warmup * total), total))
        case "one-cycle":
            return _one_cycle(options, optimizer, total)


def _cosine(warmup: int, total: int) -> Callable[[int], float]:
    """Factor of the rate at each step: up in a line, then down as a cosine (Loshchilov & Hutter 2017, "SGDR").

    By the step alone: LinearLR and CosineAnnealingLR in SequentialLR go from rate to rate, and round at each.
    """

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2

    return factor


def _one_cycle(options: schema.Schedule, optimizer: Optimizer, total: int) -> OneCycleLR:
    """Smith & Topin 2017, "Super-Convergence"; momentum moves against the rate, as they found best.

    Momentum (Adam's beta1) goes from 0.95 to 0.85 and back whatever it was, unless it was 0.
    """
    group = optimizer.param_groups[0]
    momentum = group["betas"][0] if "betas" in group else group.get("momentum", 0)
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        # OneCycleLR divides by zero where there is one step, or one step of warm-up.
        total_steps=max(total, 2),
        pct_start=min(max(options.warmup, 2 / total), 1.0),
        cycle_momentum=momentum > 0,
    )
