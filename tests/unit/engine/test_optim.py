"""Optimisers hold the trained parameters only, one group for each layer group, at the rates that were asked for."""

import pytest
import torch
from torch import nn

from trainers import experiment as schema
from trainers.engine.optim import make_optimizer

OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop", "adagrad"]


def groups(count: int) -> list[list[nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    return [
        [nn.Parameter(torch.randn(3, 2, generator=generator)), nn.Parameter(torch.randn(2, generator=generator))]
        for _ in range(count)
    ]


def flat(parameters: list[list[nn.Parameter]]) -> list[nn.Parameter]:
    return [parameter for group in parameters for parameter in group]


def train(optimizer: torch.optim.Optimizer, parameters: list[list[nn.Parameter]], steps: int) -> None:
    """Steps towards parameters that are all 1."""
    for _ in range(steps):
        optimizer.zero_grad()
        sum(((parameter - 1) ** 2).sum() for parameter in flat(parameters)).backward()
        optimizer.step()


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_moves_every_group_towards_less_loss(name):
    parameters = groups(2)
    before = [(parameter.detach() - 1).abs().sum() for parameter in flat(parameters)]
    train(make_optimizer(schema.Optimizer(name=name, lr=0.01), parameters), parameters, 10)
    after = [(parameter.detach() - 1).abs().sum() for parameter in flat(parameters)]
    assert all(now < then for now, then in zip(after, before, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimiser_goes_on_bit_for_bit(name):
    options = schema.Optimizer(name=name, lr=0.01, weight_decay=0.1)
    undisturbed, stopped, resumed = groups(2), groups(2), groups(2)
    train(make_optimizer(options, undisturbed), undisturbed, 6)
    first = make_optimizer(options, stopped)
    train(first, stopped, 3)
    with torch.no_grad():
        for parameter, value in zip(flat(resumed), flat(stopped), strict=True):
            parameter.copy_(value)
    second = make_optimizer(options, resumed)
    second.load_state_dict(first.state_dict())
    train(second, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(flat(resumed), flat(undisturbed), strict=True))


def test_rates_of_layer_groups_are_in_equal_ratios():
    optimizer = make_optimizer(schema.Optimizer(lr=0.1, lr_low=0.001), groups(3), factor=2)
    assert rates(optimizer) == pytest.approx([0.002, 0.02, 0.2])
    assert rates(make_optimizer(schema.Optimizer(lr=0.1), groups(3))) == [0.1] * 3
    assert rates(make_optimizer(schema.Optimizer(lr=0.1, lr_low=0.001), groups(1))) == [0.1]


def test_a_frozen_group_leaves_the_rates_of_the_others_as_they_are():
    first, second, third = groups(3)
    options = schema.Optimizer(lr=0.1, lr_low=0.001)
    assert (
        rates(make_optimizer(options, [[], second, third]))
        == rates(make_optimizer(options, [first, second, third]))[1:]
    )


def test_a_discriminator_has_its_own_rate():
    assert rates(make_optimizer(schema.Optimizer(lr=0.1), groups(1), lr=0.4)) == [0.4]


def test_frozen_parameters_are_refused():
    parameters = groups(2)
    parameters[0][1].requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        make_optimizer(schema.Optimizer(), parameters)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "sgd", "momentum": 0.8, "nesterov": True}, {"momentum": 0.8, "nesterov": True}),
        ({"name": "adam", "beta1": 0.5, "beta2": 0.9}, {"betas": (0.5, 0.9), "decoupled_weight_decay": False}),
        ({"name": "adamw", "beta1": 0.5, "beta2": 0.9}, {"betas": (0.5, 0.9), "decoupled_weight_decay": True}),
        ({"name": "rmsprop", "momentum": 0.8}, {"momentum": 0.8}),
        ({"name": "adagrad"}, {}),
    ],
)
def test_options_reach_the_optimiser(options, expected):
    group = make_optimizer(schema.Optimizer(weight_decay=0.25, **options), groups(1)).param_groups[0]
    assert {name: group[name] for name in expected} == expected
    assert group["weight_decay"] == 0.25
