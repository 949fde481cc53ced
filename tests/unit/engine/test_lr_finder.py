"""The range test tries rates on a network, stops when it has seen enough, and leaves the network as it was."""

from itertools import pairwise

import pytest
from toys import same, snapshot

from trainers.engine.lr_curve import LrCurve
from trainers.engine.lr_finder import RangeTest, run_range_test
from trainers.events import FirstStep, Progress, RangeTested

SHORT = RangeTest(low=1e-5, high=0.1, steps=10)


def run(loop, test):
    events = list(run_range_test(test, loop.learner, loop.batches, loop.world, loop.options.seed))
    assert isinstance(events[-1], RangeTested)
    return events


def test_rates_grow_in_equal_ratios_from_the_lowest_to_the_highest(make_loop):
    rates = run(make_loop("vectors"), SHORT)[-1].rates
    assert rates[0] == pytest.approx(1e-5)
    assert rates[-1] == pytest.approx(0.1)
    assert [after / before for before, after in pairwise(rates)] == pytest.approx([10 ** (4 / 9)] * 9)


@pytest.mark.parametrize("problem", ["images", "vectors", "regression", "autoencoding"])
def test_it_works_for_every_task_with_one_network_and_leaves_it_as_it_was(make_loop, problem):
    loop = make_loop(problem, **({"model": {"batch_norm": True}} if problem == "images" else {}))
    before = snapshot(loop.learner.module)
    events = run(loop, SHORT)
    assert isinstance(events[0], FirstStep)
    assert [event.step for event in events if isinstance(event, Progress)] == list(range(1, 11))
    assert len(events[-1].losses) == 10
    assert same(loop.learner.module.state_dict(), before)


def test_it_takes_a_step_at_each_rate_by_the_losses_before_the_step(make_loop):
    slow, fast = make_loop("vectors"), make_loop("vectors")
    low = run(slow, RangeTest(low=1e-9, high=1e-8, steps=5))[-1].losses
    high = run(fast, RangeTest(low=0.5, high=1.0, steps=5))[-1].losses
    assert low[0] == high[0]
    assert all(after < before for before, after in zip(low[1:], high[1:], strict=True))


def test_a_problem_that_can_be_learnt_gives_a_suggestion(make_loop):
    result = run(make_loop("vectors", optimizer={"name": "sgd"}), RangeTest(low=1e-4, high=100.0, steps=60))[-1]
    suggestion = LrCurve(result.rates, result.losses).suggestion
    assert suggestion is not None
    assert 1e-2 < suggestion < 10


@pytest.mark.parametrize("high", [1e6, 1e30])  # the loss grows large, or is no number any more
def test_it_stops_when_the_loss_explodes(make_loop, high):
    loop = make_loop("regression", optimizer={"momentum": 0.0})
    before = snapshot(loop.learner.module)
    result = run(loop, RangeTest(low=1e-3, high=high, steps=40))[-1]
    assert 5 < len(result.rates) == len(result.losses) < 40
    assert same(loop.learner.module.state_dict(), before)


def test_layer_groups_keep_their_ratios(make_loop):
    loop = make_loop("vectors", optimizer={"lr": 0.1, "lr_low": 0.001})
    seen, step = [], loop.learner.step

    def step_and_look(*args, **options):
        tally = step(*args, **options)
        seen.append([group["lr"] for group in loop.learner.optimizer.param_groups])
        return tally

    loop.learner.step = step_and_look
    rates = run(loop, SHORT)[-1].rates
    assert [last for _, last in seen] == pytest.approx(rates)
    assert [first for first, _ in seen] == pytest.approx([rate / 100 for rate in rates])


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "plateau"])
def test_the_schedule_has_no_say_in_it(make_loop, schedule):
    plain, scheduled = make_loop("vectors"), make_loop("vectors", schedule={"name": schedule})
    one, other = run(plain, SHORT)[-1], run(scheduled, SHORT)[-1]
    assert one.rates == other.rates
    if schedule != "one-cycle":  # which moves momentum, too
        assert one.losses == other.losses


def test_it_is_the_same_each_time_whatever_was_drawn_before(make_loop):
    dropping = {"model": {"dropout": 0.3}}
    one = run(make_loop("vectors", **dropping), SHORT)[-1]
    loop = make_loop("vectors", **dropping)
    list(loop.batches.epoch(7))
    assert run(loop, SHORT)[-1] == one
