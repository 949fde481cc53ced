"""The averaged weights follow the network, buffers and all, and go on as they were after a restart."""

import copy

import pytest
import torch
from torch import nn

from trainers.engine.ema import Ema


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))


def change(module: nn.Sequential, seed: int) -> None:
    """A step of a training: weights and BatchNorm's statistics move."""
    generator = torch.Generator().manual_seed(seed)
    module.train()
    module[:2](torch.randn(8, 3, generator=generator))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn(parameter.shape, generator=generator)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_weights_and_statistics_are_averaged_with_a_decay_that_warms_up():
    module = network()
    ema = Ema(module, 0.2)
    expected = copy.deepcopy(module.state_dict())
    for step, decay in enumerate([1 / 10, 2 / 11, 0.2, 0.2]):
        change(module, step)
        ema.update(module)
        for name, value in module.state_dict().items():
            expected[name] = value.clone() if name.endswith("tracked") else decay * expected[name] + (1 - decay) * value
    for name, value in ema.module.state_dict().items():
        torch.testing.assert_close(value, expected[name])
    assert ema.module[1].num_batches_tracked == 4


def test_a_short_run_does_not_stay_at_its_first_weights():
    module = nn.Linear(1, 1)
    ema = Ema(module, 0.9999)
    nn.init.constant_(module.weight, 5.0)
    for _ in range(20):
        ema.update(module)
    assert ema.module.weight.item() == pytest.approx(5.0, rel=1e-3)


def test_the_network_itself_is_left_alone():
    module = network()
    untouched = copy.deepcopy(module)
    ema = Ema(module, 0.9)
    ema.update(module)
    assert same(module, untouched)
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_network_that_does_not_change_is_its_own_average():
    module = network()
    ema = Ema(module, 0.9)
    for _ in range(20):
        ema.update(module)
    assert same(ema.module, module)


def test_the_averaged_network_is_in_eval_mode_and_has_no_gradients():
    ema = Ema(network(), 0.9)
    assert not any(part.training for part in ema.module.modules())
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())


def test_a_restored_average_goes_on_bit_for_bit():
    module = network()
    ema = Ema(module, 0.99)
    for step in range(3):
        change(module, step)
        ema.update(module)
    restored = Ema(network(), 0.99)
    restored.load_state_dict(copy.deepcopy(ema.state_dict()))
    assert same(restored.module, ema.module)
    for step in range(3, 6):
        change(module, step)
        ema.update(module)
        restored.update(module)
    assert same(restored.module, ema.module)
