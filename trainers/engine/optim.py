"""Optimisers by name, with a learning rate for each layer group."""

from collections.abc import Callable, Sequence
from inspect import signature

from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from trainers import experiment as schema

# Each is given what it takes of momentum, nesterov, betas and weight_decay.
OPTIMIZERS: dict[str, Callable[..., Optimizer]]
OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "adagrad": Adagrad}


def make_optimizer(
    options: schema.Optimizer, groups: Sequence[Sequence[nn.Parameter]], *, factor: float = 1.0, lr: float | None = None
) -> Optimizer:
    """The optimiser over layer groups, with one parameter group for each that has parameters.

    Args:
        groups: the trained parameters of each layer group, first to last. An empty one (it is frozen) gets no
            parameter group but keeps its place among the rates.
        factor: of all rates.
        lr: the last group's rate in place of `options.lr`, for a GAN's discriminator.

    Raises ValueError: a parameter is frozen (weight decay and momentum would still move it), or there is none at all.
    """
    if not all(parameter.requires_grad for group in groups for parameter in group):
        raise ValueError("a frozen parameter was given to the optimiser")
    rates = _group_rates(options.lr_low, options.lr if lr is None else lr, len(groups))
    trained = [{"params": list(group), "lr": rate * factor} for group, rate in zip(groups, rates, strict=True) if group]
    asked = options.model_dump(include={"momentum", "nesterov", "weight_decay"})
    asked["betas"] = (options.beta1, options.beta2)
    make = OPTIMIZERS[options.name]
    known = signature(make).parameters
    return make(trained, **{name: value for name, value in asked.items() if name in known})


def _group_rates(low: float | None, high: float, count: int) -> list[float]:
    """Rates from low to high in equal ratios (Howard & Ruder 2018, "ULMFiT", discriminative fine-tuning)."""
    if low is None or count < 2:
        return [high] * count
    rates = [low * (high / low) ** (group / (count - 1)) for group in range(count)]
    return [*rates[:-1], high]  # exactly as asked for, not as rounded
