"""Schedules move all groups' rates as their names say, and go on as they were after a restart."""

import io
import warnings
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from trainers import experiment as schema
from trainers.engine.optim import make_optimizer
from trainers.engine.schedule import LrSchedule

EPOCHS, STEPS = 5, 4
LOSSES = [1.0, 2.0, 2.0, 0.5, 2.0]  # of validation: plateau with patience 0 drops after epochs 2, 3 and 5
SCHEDULES = {
    "constant": schema.Schedule(),
    "step": schema.Schedule(name="step", step_size=2),
    "multi-step": schema.Schedule(name="multi-step", milestones=[1, 3]),
    "exponential": schema.Schedule(name="exponential", gamma=0.5),
    "plateau": schema.Schedule(name="plateau", patience=0),
    "cosine": schema.Schedule(name="cosine"),
    "cosine without warm-up": schema.Schedule(name="cosine", warmup=0),
    "one-cycle": schema.Schedule(name="one-cycle"),
}
OPTIMIZERS = {
    "sgd": schema.Optimizer(lr=0.1, lr_low=0.001),
    "sgd without momentum": schema.Optimizer(lr=0.1, momentum=0),
    "adam": schema.Optimizer(name="adam", lr=0.1),
    "adamw": schema.Optimizer(name="adamw", lr=0.1, lr_low=0.01),
    "rmsprop": schema.Optimizer(name="rmsprop", lr=0.1, lr_low=0.01),
    "rmsprop without momentum": schema.Optimizer(name="rmsprop", lr=0.1, momentum=0),
    "adagrad": schema.Optimizer(name="adagrad", lr=0.1, lr_low=0.01),
}


@dataclass
class Run:
    """A training without a task; `seen` holds what each step was done with."""

    schedule: schema.Schedule
    optimizer: schema.Optimizer
    epochs: int = EPOCHS
    steps: int = STEPS
    place: int = 0
    seen: list[list[dict[str, object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parameters = [[nn.Parameter(torch.ones(2))] for _ in range(3)]
        self.moved = make_optimizer(self.optimizer, self.parameters)
        self.moves = LrSchedule(self.schedule, self.moved, epochs=self.epochs, steps=self.steps)

    def train(self, stop: int | None = None) -> "Run":
        """Goes on to a place in the run: an epoch has a place for each step and one for its end."""
        for place in range(self.place, (self.steps + 1) * self.epochs if stop is None else stop):
            epoch, step = divmod(place, self.steps + 1)
            if step == self.steps:
                self.moves.after_epoch(LOSSES[epoch])
            else:
                self._step()
            self.place = place + 1
        return self

    def _step(self) -> None:
        for (parameter,) in self.parameters:
            parameter.grad = parameter.detach().clone()
        self.seen.append(
            [
                {name: group[name] for name in ("lr", "momentum", "betas") if name in group}
                for group in self.moved.param_groups
            ]
        )
        self.moved.step()
        self.moves.after_step()

    def rates(self, group: int = -1) -> list[float]:
        return [groups[group]["lr"] for groups in self.seen]

    def save(self) -> io.BytesIO:
        """As checkpoints are: without pickle."""
        stream = io.BytesIO()
        state = {"optimizer": self.moved.state_dict(), "schedule": self.moves.state_dict(), "place": self.place}
        torch.save(state, stream)
        stream.seek(0)
        return stream

    def restore(self, stream: io.BytesIO) -> "Run":
        state = torch.load(stream, weights_only=True)
        self.moved.load_state_dict(state["optimizer"])
        self.moves.load_state_dict(state["schedule"])
        self.place = state["place"]
        return self


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_restored_schedule_goes_on_as_an_undisturbed_one(schedule, optimizer):
    undisturbed = Run(schedule, optimizer).train()
    for stop in (3, 5, 14, 20):  # among steps; after an epoch; before an epoch's end; after it
        first = Run(schedule, optimizer).train(stop)
        second = Run(schedule, optimizer).restore(first.save()).train()
        assert first.seen + second.seen == undisturbed.seen


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_steps_beyond_the_end_keep_the_last_rate(schedule, optimizer):
    run = Run(SCHEDULES[schedule], optimizer).train()
    for _ in range(3):
        run._step()
    assert run.seen[-3:] == [run.seen[-4]] * 3


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (1, 3), (2, 5)])
@pytest.mark.parametrize("warmup", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("name", ["cosine", "one-cycle"])
def test_a_short_run_can_be_scheduled(name, warmup, epochs, steps):
    run = Run(schema.Schedule(name=name, warmup=warmup), OPTIMIZERS["sgd"], epochs, steps).train()
    assert all(0 < rate <= 0.1 for rate in run.rates())


@pytest.mark.parametrize(
    ("schedule", "by_epoch"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("step", [1, 1, 0.1, 0.1, 0.01]),
        ("multi-step", [1, 0.1, 0.1, 0.01, 0.01]),
        ("exponential", [1, 0.5, 0.25, 0.125, 0.0625]),
        ("plateau", [1, 1, 0.1, 0.01, 0.01]),
    ],
)
def test_schedules_by_the_epoch_drop_every_group_after_the_epochs_they_say(schedule, by_epoch):
    run = Run(SCHEDULES[schedule], OPTIMIZERS["sgd"]).train()
    expected = [factor for factor in by_epoch for _ in range(STEPS)]
    for group, rate in enumerate((0.001, 0.01, 0.1)):
        assert run.rates(group) == pytest.approx([rate * factor for factor in expected])


def test_plateau_drops_small_rates_too():
    run = Run(SCHEDULES["plateau"], schema.Optimizer(lr=1e-9)).train()
    assert run.rates()[-1] == pytest.approx(1e-11)


def test_cosine_warms_up_in_a_line_and_goes_down_to_nothing():
    rates = Run(SCHEDULES["cosine"], OPTIMIZERS["sgd"]).train().rates()
    assert rates[:7] == pytest.approx([0.1 * step / 7 for step in range(1, 8)])  # 30 % of 20 steps, then the peak
    assert rates[13] == pytest.approx(0.05)  # half way down
    assert sorted(rates[6:], reverse=True) == rates[6:]
    assert 0 < rates[-1] < 0.002
    without = Run(SCHEDULES["cosine without warm-up"], OPTIMIZERS["sgd"]).train().rates()
    assert without[0] == 0.1
    assert sorted(without, reverse=True) == without


def test_one_cycle_goes_up_to_each_groups_own_rate_and_down():
    run = Run(SCHEDULES["one-cycle"], OPTIMIZERS["sgd"]).train()
    for group, peak in enumerate((0.001, 0.01, 0.1)):
        rates = run.rates(group)
        assert (rates[0], max(rates)) == (pytest.approx(peak / 25), pytest.approx(peak))
        assert rates.index(max(rates)) == 5  # 30 % of 20 steps
        assert rates[-1] < peak / 1000


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_one_cycle_moves_momentum_against_the_rate(name):
    run = Run(SCHEDULES["one-cycle"], OPTIMIZERS[name]).train()
    momenta = [step[0]["betas"][0] if "betas" in step[0] else step[0]["momentum"] for step in run.seen]
    assert (momenta[0], momenta[5], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))


@pytest.mark.parametrize("name", ["sgd without momentum", "rmsprop without momentum"])
def test_one_cycle_leaves_alone_an_optimiser_without_momentum(name):
    run = Run(SCHEDULES["one-cycle"], OPTIMIZERS[name]).train()
    assert {step[0]["momentum"] for step in run.seen} == {0}
