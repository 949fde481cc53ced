"""One network: what is frozen stands still, stages begin when they should, averaged weights are the ones in use."""

import math

import pytest
import torch
from safetensors.torch import load_file
from toys import losses, same, snapshot, train

from trainers.engine.checkpoint import Checkpoint
from trainers.events import EpochDone, FirstStep, Unfrozen
from trainers.tasks.bundle import WEIGHTS

# Three layer groups, of which one more is trained before the second epoch, and all before the fourth.
UNFREEZING = {
    "model": {"name": "mlp", "hidden": [8, 8], "train": "head", "unfreeze": [2, 4]},
    "training": {"epochs": 5},
    "optimizer": {"lr": 0.1, "lr_low": 0.001, "unfreeze_factor": 0.5},
}
HEAD_OF_A_CNN = {"model": {"name": "cnn", "train": "head", "unfreeze": [2]}, "training": {"epochs": 2}}


def held(learner):
    """Names of the parameters that the optimiser holds."""
    names = {parameter: name for name, parameter in learner.module.named_parameters()}
    return [names[parameter] for group in learner.optimizer.param_groups for parameter in group["params"]]


def per_epoch(loop, look):
    """What `look` sees in the learner while each epoch is trained."""
    seen, begin = [], loop.learner.begin_epoch

    def begin_and_look(epoch):
        begin(epoch)
        seen.append(look(loop.learner))

    loop.learner.begin_epoch = begin_and_look
    train(loop)
    return seen


def test_unfrozen_layers_are_told_of_before_the_epoch_in_which_they_are_trained(make_loop):
    told = []
    for event in make_loop("vectors", **UNFREEZING).run():
        if isinstance(event, Unfrozen):
            told.append(("unfrozen", event.epoch, event.trained))
        elif isinstance(event, EpochDone):
            told.append(("epoch", event.row["epoch"]))
    head, middle, first = 8 * 2 + 2, 8 * 8 + 8, 2 * 8 + 8
    assert told == [
        ("epoch", 1),
        ("unfrozen", 2, middle + head),
        ("epoch", 2),
        ("epoch", 3),
        ("unfrozen", 4, first + middle + head),
        ("epoch", 4),
        ("epoch", 5),
    ]


def test_the_optimiser_holds_exactly_what_is_trained_in_each_stage(make_loop):
    def look(learner):
        trained = [name for name, parameter in learner.module.named_parameters() if parameter.requires_grad]
        assert held(learner) == trained
        return [name.split(".")[0] for name in trained[::2]]

    seen = per_epoch(make_loop("vectors", **UNFREEZING), look)
    head, most, everything = ["linear3"], ["linear2", "linear3"], ["linear1", "linear2", "linear3"]
    assert seen == [head, most, most, everything, everything]


def test_rates_are_in_equal_ratios_over_layer_groups_whatever_is_frozen_times_a_factor_per_stage(make_loop):
    seen = per_epoch(
        make_loop("vectors", **UNFREEZING), lambda learner: [group["lr"] for group in learner.optimizer.param_groups]
    )
    assert seen[0] == pytest.approx([0.1])
    assert seen[1] == seen[2] == pytest.approx([0.01 / 2, 0.1 / 2])
    assert seen[3] == seen[4] == pytest.approx([0.001 / 4, 0.01 / 4, 0.1 / 4])


def test_a_schedule_begins_anew_in_each_stage(make_loop):
    rows = train(make_loop("vectors", **UNFREEZING, schedule={"name": "cosine", "warmup": 0}))
    # Three steps per epoch; stages of one, two and two epochs.
    down = (1 + math.cos(math.pi / 2)) / 2
    expected = [0.1, 0.1 / 2, 0.1 / 2 * down, 0.1 / 4, 0.1 / 4 * down]
    assert [row["lr"] for row in rows] == pytest.approx(expected)


def test_frozen_layers_stand_still_statistics_and_all_until_they_are_unfrozen(make_loop):
    loop = make_loop(**HEAD_OF_A_CNN)
    before = snapshot(loop.learner.module)
    moved = []
    for event in loop.run():
        if isinstance(event, EpochDone):
            after = loop.learner.module.state_dict()
            moved.append({name for name, tensor in before.items() if not torch.equal(tensor, after[name])})
    assert moved[0] == {"head.weight", "head.bias"}
    assert moved[1] == before.keys()
    assert any(name.endswith("running_var") for name in moved[1])


def test_weight_decay_and_momentum_do_not_move_what_is_frozen(make_loop):
    loop = make_loop(model={"name": "cnn", "freeze_groups": 1}, optimizer={"lr": 0.1, "weight_decay": 0.5})
    frozen = {name for name, parameter in loop.learner.module.named_parameters() if not parameter.requires_grad}
    before = snapshot(loop.learner.module)
    train(loop)
    after = loop.learner.module.state_dict()
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_run_that_unfreezes_is_resumed_with_the_same_bits_wherever_it_stopped(make_loop, stop):
    options = {**UNFREEZING, "schedule": {"name": "one-cycle"}}
    options["training"] = {"epochs": 5, "ema": 0.9}
    whole, cut, resumed = (make_loop("vectors", **options) for _ in range(3))
    expected = train(whole)
    train(cut, until=stop)
    resumed.restore(cut.store.load(stop))
    told = [event for event in resumed.run() if not isinstance(event, FirstStep)]
    assert losses([event.row for event in told if isinstance(event, EpochDone)]) == losses(expected[stop:])
    assert [event.epoch for event in told if isinstance(event, Unfrozen)] == [e for e in (2, 4) if e > stop]
    assert same(resumed.learner.module.state_dict(), whole.learner.module.state_dict())
    assert same(resumed.learner.model_state(), whole.learner.model_state())


def test_averaged_weights_are_evaluated_and_saved_and_training_goes_on_with_the_raw_ones(make_loop):
    options = {"model": {"batch_norm": True}, "optimizer": {"lr": 0.05}}
    plain, averaged = make_loop(**options), make_loop(**options, training={"ema": 0.9})
    train(plain)
    rows = train(averaged)
    learner = averaged.learner
    assert same(learner.module.state_dict(), plain.learner.module.state_dict())
    assert not same(learner.model_state(), learner.module.state_dict())
    saved = averaged.store.load(3)
    assert same(saved.weights, learner.ema.module.state_dict())
    assert same(saved.training["trained"], learner.module.state_dict())
    plain.learner.load_model_state(load_file(averaged.store.path(3) / WEIGHTS))
    metrics, _ = plain.learner.evaluate(averaged.validation)
    assert metrics["loss"] == pytest.approx(rows[-1]["validation/loss"])
    assert metrics["loss"] != pytest.approx(plain.history[-1]["validation/loss"])


def test_evaluation_answers_for_every_sample_in_order_and_changes_nothing(make_loop):
    loop = make_loop(model={"batch_norm": True})
    learner = loop.learner
    before = snapshot(learner.module)
    indices = torch.tensor([5, 3, 40])
    _, answers = learner.evaluate(indices, answers=True)
    inputs, _ = learner.samples.take(indices)
    expected = learner.module(learner.samples.normalise(inputs)).softmax(dim=1)
    torch.testing.assert_close(answers, expected)
    assert same(learner.module.state_dict(), before)


def test_label_smoothing_changes_what_is_learnt_but_not_what_is_counted(make_loop):
    plain, smooth = make_loop(), make_loop(training={"label_smoothing": 0.2})
    images, targets = next(next(plain.batches.epoch(0)).micro_batches(None))
    logits = plain.learner.module(images)
    assert plain.learner.task.loss(logits, targets) != smooth.learner.task.loss(logits, targets)
    assert torch.equal(plain.learner.task.tally(logits, targets), smooth.learner.task.tally(logits, targets))


def test_nll_on_log_probabilities_trains_as_cross_entropy_does(make_loop):
    options = {"data": {"augment": {"mixup": 0.4}}, "training": {"label_smoothing": 0.1}}
    entropy = train(make_loop(**options))
    likelihood = train(
        make_loop(
            data=options["data"], model={"output": "log-softmax"}, training={"loss": "nll", "label_smoothing": 0.1}
        )
    )
    for one, other in zip(losses(entropy), losses(likelihood), strict=True):
        assert other == pytest.approx(one, rel=1e-4)


def test_a_checkpoint_holds_what_the_rest_of_the_run_depends_on_and_nothing_twice(make_loop):
    plain, averaged = make_loop("vectors"), make_loop("vectors", training={"ema": 0.9})
    train(plain, until=1)
    train(averaged, until=1)
    assert isinstance(plain.store.load(1), Checkpoint)
    assert plain.store.load(1).training.keys() == {"optimizer", "schedule"}
    assert averaged.store.load(1).training.keys() == {"optimizer", "schedule", "trained", "ema"}


def test_a_stage_that_would_begin_after_the_end_does_not_stretch_the_schedule(make_loop):
    options = {"schedule": {"name": "one-cycle"}, "training": {"epochs": 3}}
    frozen = {"name": "cifar_resnet20", "train": "head"}
    whole = train(make_loop(model=frozen, **options))
    late = train(make_loop(model={**frozen, "unfreeze": [9]}, **options))
    assert [row["lr"] for row in late] == [row["lr"] for row in whole]
