"""Optimisers and schedules by name."""

from collections.abc import Iterable

import torch
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from trainers import experiment as schema


def make_optimizer(options: schema.Optimizer, parameters: Iterable[torch.nn.Parameter]) -> Optimizer:
    """The optimiser over those parameters that are to be trained."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if options.name == "adamw":
        return AdamW(trained, lr=options.lr, weight_decay=options.weight_decay)
    return SGD(
        trained,
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )


class Schedule:
    """A learning-rate schedule that knows whether it moves by the step or by the epoch."""

    def __init__(self, options: schema.Schedule, optimizer: Optimizer, *, epochs: int, steps: int) -> None:
        self.by_step = options.name == "one-cycle"
        self.scheduler: LRScheduler
        if options.name == "one-cycle":
            # Smith & Topin 2017, "Super-Convergence"; momentum moves against the rate, as they found best.
            group = optimizer.param_groups[0]
            self.scheduler = OneCycleLR(
                optimizer,
                max_lr=group["lr"],
                total_steps=epochs * steps,
                pct_start=options.warmup,
                cycle_momentum="betas" in group or group["momentum"] > 0,
            )
        elif options.name == "step":
            self.scheduler = StepLR(optimizer, step_size=options.step_size, gamma=options.gamma)
        else:
            self.scheduler = LambdaLR(optimizer, _always_one)

    def after_step(self) -> None:
        """To be called after each optimiser step."""
        if self.by_step:
            self.scheduler.step()

    def after_epoch(self) -> None:
        """To be called after each epoch's last step."""
        if not self.by_step:
            self.scheduler.step()


def _always_one(epoch: int) -> float:
    return 1.0
