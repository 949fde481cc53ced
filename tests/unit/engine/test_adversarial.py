"""Two networks: each learns in its turn and never in the other's; samples are measured by a classifier."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from toys import experiment_of, make_pack, same, snapshot, train

from trainers.tasks import AdversarialLoss


def moved(before, module):
    return {name.split(".")[0] for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def first_batch(loop):
    loop.learner.begin_epoch(0)
    return next(loop.batches.epoch(0))


def test_each_network_has_an_optimiser_of_its_own_parameters_alone(make_loop):
    learner = make_loop("adversarial", optimizer={"lr": 0.01, "discriminator_lr": 0.04}).learner
    for name, rate in (("generator", 0.01), ("discriminator", 0.04)):
        groups = learner.optimizers[name].param_groups
        held = {id(parameter) for group in groups for parameter in group["params"]}
        assert held == {id(parameter) for parameter in learner.networks[name].parameters()}
        assert {group["lr"] for group in groups} == {rate}
    assert learner.rate == 0.01


def test_the_discriminator_has_the_generators_rate_unless_told_otherwise(make_loop):
    learner = make_loop("adversarial", optimizer={"lr": 0.01}).learner
    assert {group["lr"] for group in learner.optimizers["discriminator"].param_groups} == {0.01}


def test_a_step_is_one_of_the_discriminator_and_then_one_of_the_generator(make_loop):
    loop = make_loop("adversarial", optimizer={"lr": 0.1, "momentum": 0.0})
    learner = loop.learner
    batch = first_batch(loop)
    before, moves = snapshot(learner.module), []
    for name, optimizer in learner.optimizers.items():
        optimizer.register_step_post_hook(lambda *_, name=name: moves.append((name, moved(before, learner.module))))
    learner.step(batch)
    assert moves == [("discriminator", {"discriminator"}), ("generator", {"discriminator", "generator"})]


def test_a_step_is_that_of_the_two_losses_over_the_global_batch(make_loop):
    loop, twin = make_loop("adversarial"), make_loop("adversarial")
    batch = first_batch(loop)
    tally = loop.learner.step(batch)

    gan, rate, drawn = twin.learner.gan, 0.01, []
    gan.generator.register_forward_pre_hook(lambda _, inputs: drawn.append(inputs[0]))
    twin.learner.step(first_batch(twin))
    fresh = make_loop("adversarial").learner.gan
    real, _ = next(batch.micro_batches(None))
    codes, loss = drawn[0], nn.functional.binary_cross_entropy_with_logits
    on_real, on_fake = fresh.discriminator(real), fresh.discriminator(fresh.generator(codes).detach())
    against = (loss(on_real, torch.ones(16)) + loss(on_fake, torch.zeros(16))) / 2
    for parameter, gradient in zip(
        fresh.discriminator.parameters(),
        torch.autograd.grad(against, list(fresh.discriminator.parameters())),
        strict=True,
    ):
        parameter.data -= rate * gradient
    passing = loss(fresh.discriminator(fresh.generator(codes)), torch.ones(16))
    for parameter, gradient in zip(
        fresh.generator.parameters(), torch.autograd.grad(passing, list(fresh.generator.parameters())), strict=True
    ):
        parameter.data -= rate * gradient

    assert torch.equal(codes, drawn[1])  # the generator learns from what the discriminator has just seen
    assert tally.tolist() == pytest.approx([16 * against.item(), 16 * passing.item(), 16])
    for name, tensor in fresh.state_dict().items():
        torch.testing.assert_close(loop.learner.gan.state_dict()[name], tensor, atol=1e-6, rtol=1e-5)


def test_the_discriminator_is_trained_again_after_the_generators_turn(make_loop):
    loop = make_loop("adversarial")
    loop.learner.step(first_batch(loop))
    assert all(parameter.requires_grad for parameter in loop.learner.module.parameters())
    assert loop.learner.trained == sum(parameter.numel() for parameter in loop.learner.module.parameters())


def test_each_step_has_its_own_noise_and_no_other_use_shares_it(make_loop):
    loop = make_loop("adversarial", training={"epochs": 2})
    drawn = {True: [], False: []}  # in training mode and in eval mode

    def note(generator, inputs):
        drawn[generator.training].append(inputs[0].flatten()[0].item())

    loop.learner.gan.generator.register_forward_pre_hook(note)
    train(loop)
    steps = 2 * loop.batches.steps
    assert len(drawn[True]) == 2 * steps  # two turns in each step
    assert len(set(drawn[True])) == steps
    assert len(set(drawn[False])) == 2  # to be measured and to be shown, the same in each epoch
    assert set(drawn[True]).isdisjoint(drawn[False])


def test_samples_are_measured_against_the_real_images_of_the_split(make_loop):
    loop = make_loop("adversarial", optimizer={"lr": 1e-30})
    rows = train(loop)
    measured = {name: value for name, value in rows[0].items() if name.startswith("validation/")}
    assert measured.keys() == {
        f"validation/{name}" for name in ("frechet", "diversity", "confident", "classes", "collapsed")
    }
    # What does not change measures the same in each epoch: the noise is the same, too.
    assert all(row[name] == value for row in rows for name, value in measured.items())
    assert loop.learner.evaluate(torch.arange(20))[0]["frechet"] != measured["validation/frechet"]
    judge = loop.learner._judge(loop.validation)
    assert judge.metrics(make_pack().inputs[-8:])["frechet"] == pytest.approx(0, abs=1e-9)


def test_the_real_images_of_a_split_are_measured_once(make_loop):
    learner = make_loop("adversarial").learner
    assert learner._judge(torch.arange(9)) is learner._judge(torch.arange(9))
    assert learner._judge(torch.arange(9)) is not learner._judge(torch.arange(10))


def test_the_best_epoch_has_the_lowest_distance(make_loop):
    loop = make_loop("adversarial", training={"epochs": 5}, optimizer={"name": "adam", "lr": 0.002})
    distances = [row["validation/frechet"] for row in train(loop)]
    assert loop.best_epoch == int(np.argmin(distances)) + 1


def test_schedules_move_both_rates(make_loop):
    loop = make_loop(
        "adversarial", optimizer={"discriminator_lr": 0.04}, schedule={"name": "exponential", "gamma": 0.5}
    )
    rows = train(loop)
    assert [row["lr"] for row in rows] == pytest.approx([0.01, 0.005, 0.0025])
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in loop.learner.optimizers.items()}
    assert rates == pytest.approx({"generator": 0.01 / 8, "discriminator": 0.04 / 8})


def test_options_reach_the_loss(make_loop):
    learner = make_loop("adversarial", training={"loss": "least-squares", "label_smoothing": 0.1}).learner
    assert isinstance(learner.loss, AdversarialLoss)
    real = torch.full((2,), 0.9)
    assert learner.loss.discriminator(real, torch.zeros(2)).item() == pytest.approx(0)


def test_the_averaged_generator_draws_and_is_saved_and_training_goes_on_with_the_raw_one(make_loop):
    options = {"model": {"name": "dcgan", "dropout": None}, "optimizer": {"lr": 0.05}}
    plain, averaged = make_loop("adversarial", **options), make_loop("adversarial", **options, training={"ema": 0.9})
    train(plain)
    rows = train(averaged)
    assert same(averaged.learner.module.state_dict(), plain.learner.module.state_dict())
    saved = averaged.store.load(3).weights
    average = averaged.learner.ema.module.state_dict()
    raw = plain.learner.module.state_dict()
    assert saved.keys() == raw.keys()
    for name, tensor in saved.items():
        network, _, part = name.partition(".")
        assert torch.equal(tensor, average[part] if network == "generator" else raw[name])
    assert rows[-1]["validation/frechet"] != plain.history[-1]["validation/frechet"]
    plain.learner.load_model_state(saved)
    assert plain.learner.evaluate(plain.validation)[0]["frechet"] == rows[-1]["validation/frechet"]


def test_what_is_kept_is_plain_values_and_weights(make_loop):
    loop = make_loop("adversarial", training={"epochs": 1})
    train(loop)
    checkpoint = loop.store.load(1)
    assert {name.split(".")[0] for name in checkpoint.weights} == {"generator", "discriminator"}
    assert checkpoint.training.keys() == {"generator", "discriminator"}
    assert json.loads((loop.store.path(1) / "model.json").read_text())["task"] == "adversarial"
    assert experiment_of("adversarial").score == "frechet"
