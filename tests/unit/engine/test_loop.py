"""The loop keeps the global batch, goes on exactly where it was, and stops when it should."""

import itertools
import warnings

import pytest
import torch

from trainers.engine.loop import Diverged
from trainers.events import EpochDone, FirstStep


def rows(loop):
    return [event.row for event in loop.run() if isinstance(event, EpochDone)]


def weights(loop):
    return torch.cat([parameter.detach().flatten() for parameter in loop.learner.module.parameters()])


def test_it_learns(make_loop):
    history = rows(make_loop(training={"epochs": 12}, optimizer={"name": "adamw", "lr": 0.001}))
    assert history[-1]["train/accuracy"] > 0.9
    assert history[-1]["train/loss"] < history[0]["train/loss"]
    assert [row["epoch"] for row in history] == list(range(1, 13))


def test_accumulated_micro_batches_make_the_same_step(make_loop):
    whole, parts = make_loop(), make_loop(training={"micro_batch": 3})
    assert [row["train/loss"] for row in rows(parts)] == pytest.approx(
        [row["train/loss"] for row in rows(whole)], abs=1e-6
    )
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-6, rtol=0)


@pytest.mark.parametrize("schedule", ["constant", "step", "one-cycle"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_ends_with_the_same_bits(make_loop, schedule, optimizer):
    options = {
        "model": {"batch_norm": True, "dropout": 0.3},
        "data": {"augment": {"flip": 0.5, "rotate": 10}},
        "schedule": {"name": schedule, "step_size": 1},
        "optimizer": {"name": optimizer, "lr": 0.01},
    }
    whole = make_loop(**options)
    expected = rows(whole)
    whole.store.folder.rename(whole.store.folder.with_name("undisturbed"))

    cut = make_loop(**options)
    done = itertools.takewhile(lambda event: not (isinstance(event, EpochDone) and event.row["epoch"] == 2), cut.run())
    list(done)  # epoch 2 is saved, then the process is gone
    torch.rand(17)  # whatever was drawn meanwhile must not matter
    resumed = make_loop(**options)
    resumed.restore(resumed.store.load(resumed.store.latest()))
    got = rows(resumed)
    assert [row["epoch"] for row in got] == [3]
    assert torch.equal(weights(resumed), weights(whole))
    for name in ("train/loss", "validation/loss", "lr", "best"):
        assert got[0][name] == expected[2][name]


def test_schedules_move_the_rate_when_they_should(make_loop):
    options = {"training": {"epochs": 4}, "optimizer": {"lr": 0.01}}
    step = rows(make_loop(schedule={"name": "step", "step_size": 2, "gamma": 0.5}, **options))
    assert [row["lr"] for row in step] == pytest.approx([0.01, 0.01, 0.005, 0.005])
    cycle = rows(make_loop(schedule={"name": "one-cycle", "warmup": 0.25}, **options))
    rates = [row["lr"] for row in cycle]
    assert max(rates) == rates[1]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[3] < rates[2] < rates[1]


def test_nothing_is_complained_of_while_training(make_loop):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows(make_loop(schedule={"name": "one-cycle"}, optimizer={"name": "adamw"}))


def test_the_best_epoch_is_by_the_chosen_metric(make_loop):
    for best, sign in (("accuracy", 1), ("loss", -1)):
        history = rows(make_loop(training={"epochs": 5, "best": best}, optimizer={"lr": 0.05}))
        marked = max(int(row["epoch"]) for row in history if row["best"])
        scores = [sign * row[f"validation/{best}"] for row in history]
        assert marked == scores.index(max(scores)) + 1


def test_patience_ends_a_run_that_gets_no_better(make_loop):
    history = rows(make_loop(training={"epochs": 50, "patience": 2}, optimizer={"lr": 1e-9}))
    best = max(int(row["epoch"]) for row in history if row["best"])
    assert len(history) == best + 2


def test_a_loss_that_is_no_number_stops_the_run_with_advice(make_loop):
    with pytest.raises(Diverged, match=r"became (nan|inf) in epoch \d: lower optimizer\.lr \(1e\+06\)"):
        rows(make_loop(optimizer={"lr": 1e6}, training={"epochs": 10}))


def test_the_gradient_is_clipped(make_loop):
    calm = make_loop(training={"clip_norm": 1e-6, "epochs": 1}, optimizer={"lr": 1.0, "momentum": 0.0})
    before = weights(calm)
    rows(calm)
    assert (weights(calm) - before).norm() < 1e-5


def test_the_optimiser_never_holds_a_frozen_parameter(make_loop):
    loop = make_loop(model={"name": "resnet18", "train": "head"}, training={"epochs": 1})
    frozen = {name: value.clone() for name, value in loop.learner.module.state_dict().items() if not name.startswith("fc.")}
    held = {id(parameter) for group in loop.learner.optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in loop.learner.module.fc.parameters()}
    rows(loop)
    assert all(torch.equal(value, loop.learner.module.state_dict()[name]) for name, value in frozen.items())


def test_label_smoothing_changes_what_is_learnt_but_not_what_is_counted(make_loop):
    plain, smooth = make_loop(training={"epochs": 1}), make_loop(training={"epochs": 1, "label_smoothing": 0.2})
    first = next(iter(plain.batches.epoch(0)))
    images, targets = next(first.micro_batches(None))
    logits = plain.learner.module(images)
    assert plain.learner.task.loss(logits, targets) != smooth.learner.task.loss(logits, targets)
    assert torch.equal(plain.learner.task.tally(logits, targets), smooth.learner.task.tally(logits, targets))


def test_the_first_step_is_told_once(make_loop):
    assert sum(isinstance(event, FirstStep) for event in make_loop().run()) == 1
