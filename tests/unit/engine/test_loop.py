"""The loop keeps the global batch, goes on exactly where it was, tells what happens, and stops when it should."""

import warnings

import numpy as np
import pytest
import torch
from toys import PROBLEMS, losses, make_pack, pack_of, same, train

from trainers.engine.loop import Diverged
from trainers.engine.worker import evaluate_best
from trainers.events import FirstBatch, FirstStep, Pictured

FAST = {"name": "adamw", "lr": 0.003}


def events(loop, kind):
    return [event for event in loop.run() if isinstance(event, kind)]


@pytest.mark.parametrize(("problem", "epochs", "rate"), [("images", 8, 0.001), ("vectors", 20, 0.01)])
def test_a_classifier_learns_its_classes(make_loop, problem, epochs, rate):
    rows = train(make_loop(problem, training={"epochs": epochs}, optimizer={"name": "adamw", "lr": rate}))
    assert rows[-1]["train/accuracy"] > 0.95
    assert rows[-1]["train/loss"] < rows[0]["train/loss"] / 2
    assert [row["epoch"] for row in rows] == list(range(1, epochs + 1))


def test_a_regressor_learns_a_curve(make_loop):
    rows = train(make_loop("regression", training={"epochs": 60}, optimizer={"name": "adamw", "lr": 0.02}))
    assert rows[-1]["validation/mse"] < 0.01  # the squares' own variance is 0.09
    assert rows[-1]["validation/mse"] == rows[-1]["validation/loss"]


def test_an_autoencoder_learns_to_give_images_back(make_loop):
    flat = np.random.default_rng(0).integers(0, 256, (48, 1, 1, 3), dtype=np.uint8)
    pack = pack_of(np.tile(flat, (1, 16, 16, 1)))
    rows = train(
        make_loop("autoencoding", pack=pack, training={"epochs": 15}, optimizer={"name": "adamw", "lr": 0.001})
    )
    assert rows[-1]["validation/mse"] < rows[0]["validation/mse"] / 4


def test_a_gan_learns_the_brightness_of_what_it_draws(make_loop):
    pack = pack_of(np.full((48, 16, 16, 3), 230, np.uint8), classes=("bright",))
    adam = {"name": "adam", "lr": 0.001, "beta1": 0.5}
    loop = make_loop("adversarial", pack=pack, training={"epochs": 5}, optimizer=adam)
    pictures = [event.images.mean() for event in events(loop, Pictured)]
    assert pictures[0] < 160 < 180 < pictures[-1]  # grey is 128
    assert loop.history[-1]["validation/frechet"] < loop.history[0]["validation/frechet"] / 2


@pytest.mark.parametrize("problem", PROBLEMS)
def test_accumulated_micro_batches_make_the_same_step(make_loop, problem):
    whole, parts = make_loop(problem), make_loop(problem, training={"micro_batch": 3})
    for expected, got in zip(train(whole), train(parts), strict=True):
        for name in (name for name in expected if name.startswith("train/")):
            assert got[name] == pytest.approx(expected[name], abs=1e-5)
    for name, tensor in whole.learner.module.state_dict().items():
        torch.testing.assert_close(parts.learner.module.state_dict()[name], tensor, atol=1e-5, rtol=0)


RESUMED = {
    **{problem: (problem, {}) for problem in PROBLEMS},
    "dropout, BatchNorm": ("images", {"model": {"batch_norm": True, "dropout": 0.3}, "optimizer": FAST}),
    "augmented": ("images", {"data": {"augment": {"flip": 0.5, "rotate": 10, "color": 0.2, "crop": 2, "cutout": 0.2}}}),
    "mixed": ("images", {"data": {"augment": {"mixup": 0.4, "cutmix": 1.0, "randaugment": 1}}}),
    "average": ("images", {"training": {"ema": 0.9}, "model": {"batch_norm": True}}),
    "average of vectors": ("vectors", {"training": {"ema": 0.9}, "schedule": {"name": "cosine"}, "optimizer": FAST}),
    "step": ("vectors", {"schedule": {"name": "step", "step_size": 1}}),
    "plateau": ("vectors", {"schedule": {"name": "plateau", "patience": 0, "gamma": 0.5}, "optimizer": {"lr": 0.5}}),
    "cosine": ("vectors", {"schedule": {"name": "cosine"}}),
    "one-cycle": ("regression", {"schedule": {"name": "one-cycle"}, "optimizer": FAST}),
    "dcgan": ("adversarial", {"model": {"name": "dcgan", "dropout": None}, "optimizer": FAST}),
    "GAN with dropout, cosine": ("adversarial", {"model": {"dropout": 0.3}, "schedule": {"name": "cosine"}}),
    "average of a GAN": ("adversarial", {"model": {"name": "dcgan", "dropout": None}, "training": {"ema": 0.9}}),
}


@pytest.mark.parametrize(("problem", "options"), RESUMED.values(), ids=RESUMED)
def test_a_resumed_run_ends_with_the_same_bits(make_loop, problem, options):
    whole, cut, resumed = (make_loop(problem, **options) for _ in range(3))
    expected = train(whole)
    train(cut, until=2)
    torch.rand(17)  # whatever was drawn meanwhile must not matter
    resumed.restore(cut.store.load(cut.store.latest()))
    got = train(resumed)
    assert [row["epoch"] for row in got] == [3]
    assert losses(got) == losses(expected[2:])
    assert losses(resumed.history) == losses(expected)
    assert same(resumed.learner.module.state_dict(), whole.learner.module.state_dict())
    assert same(resumed.learner.model_state(), whole.learner.model_state())


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_best_weights_are_what_is_tested(make_loop, problem):
    loop = make_loop(problem, training={"epochs": 4}, optimizer={"lr": 0.05 if problem != "adversarial" else 0.001})
    train(loop)
    tested = evaluate_best(loop, loop.validation)  # the same samples, so that the two can be compared
    best = loop.history[loop.best_epoch - 1]
    assert tested.best_epoch == loop.best_epoch
    assert {f"validation/{name}": value for name, value in tested.metrics.items()} == pytest.approx(
        {name: value for name, value in best.items() if name.startswith("validation/")}
    )


def test_schedules_move_the_rate_when_they_should(make_loop):
    options = {"training": {"epochs": 4}, "optimizer": {"lr": 0.01}}
    step = train(make_loop("vectors", schedule={"name": "step", "step_size": 2, "gamma": 0.5}, **options))
    assert [row["lr"] for row in step] == pytest.approx([0.01, 0.01, 0.005, 0.005])
    cycle = train(make_loop("vectors", schedule={"name": "one-cycle", "warmup": 0.25}, **options))
    rates = [row["lr"] for row in cycle]
    assert max(rates) == rates[1]
    assert rates[0] == pytest.approx(0.01 / 25)
    assert rates[3] < rates[2] < rates[1]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_nothing_is_complained_of_while_training(make_loop, problem):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(make_loop(problem, schedule={"name": "one-cycle"}, optimizer={"name": "adamw"}, training={"epochs": 1}))


@pytest.mark.parametrize(("best", "sign"), [("accuracy", 1), ("loss", -1)])
def test_the_best_epoch_is_by_the_chosen_metric(make_loop, best, sign):
    rows = train(make_loop("vectors", training={"epochs": 5, "best": best}, optimizer={"lr": 0.5}))
    marked = max(int(row["epoch"]) for row in rows if row["best"])
    scores = [sign * row[f"validation/{best}"] for row in rows]
    assert marked == scores.index(max(scores)) + 1


def test_patience_ends_a_run_that_gets_no_better(make_loop):
    rows = train(make_loop("vectors", training={"epochs": 50, "patience": 2}, optimizer={"lr": 1e-9}))
    best = max(int(row["epoch"]) for row in rows if row["best"])
    assert len(rows) == best + 2


@pytest.mark.parametrize(("problem", "loss"), [("images", "loss"), ("adversarial", "discriminator loss")])
def test_a_loss_that_is_no_number_stops_the_run_with_advice(make_loop, problem, loss):
    with pytest.raises(
        Diverged, match=rf"training {loss} became (nan|inf) in epoch \d: lower optimizer\.lr \(1e\+30\)"
    ):
        train(make_loop(problem, optimizer={"lr": 1e30}, training={"epochs": 10}))


@pytest.mark.parametrize("problem", ["vectors", "adversarial"])
def test_the_gradient_is_clipped(make_loop, problem):
    calm = make_loop(problem, training={"clip_norm": 1e-6, "epochs": 1}, optimizer={"lr": 1.0, "momentum": 0.0})
    before = torch.nn.utils.parameters_to_vector(calm.learner.module.parameters()).detach().clone()
    train(calm)
    after = torch.nn.utils.parameters_to_vector(calm.learner.module.parameters()).detach()
    assert 0 < (after - before).norm() < 1e-5


def test_the_first_step_is_told_once(make_loop):
    assert len(events(make_loop("vectors"), FirstStep)) == 1


def test_the_first_batch_is_shown_once_as_the_network_sees_it(make_loop):
    plain, mirrored = make_loop(), make_loop(data={"augment": {"flip": 1.0}})
    inputs, targets = plain.batches.samples.take(next(plain.batches.epoch(0)).indices)
    (first,), (turned,) = events(plain, FirstBatch), events(mirrored, FirstBatch)
    assert np.array_equal(first.images, inputs.numpy())
    assert np.array_equal(first.labels, targets.numpy())
    assert np.array_equal(turned.images, first.images[:, :, ::-1])


def test_a_blended_first_batch_is_labelled_with_the_greater_part(make_loop):
    (first,) = events(make_loop(data={"augment": {"mixup": 0.4}}), FirstBatch)
    assert first.labels.shape == (16,)
    assert not np.array_equal(first.images, make_pack().inputs[:16])


def test_no_first_batch_is_shown_of_vectors_nor_after_a_restart(make_loop):
    assert events(make_loop("vectors"), FirstBatch) == []
    cut, resumed = make_loop(), make_loop()
    train(cut, until=1)
    resumed.restore(cut.store.load(1))
    assert events(resumed, FirstBatch) == []


def test_an_autoencoder_is_pictured_after_each_epoch(make_loop):
    loop = make_loop("autoencoding", optimizer={"lr": 0.1})
    pictures = events(loop, Pictured)
    assert [picture.epoch for picture in pictures] == [1, 2, 3]
    for picture in pictures:
        assert np.array_equal(picture.originals, make_pack().inputs[-8:])
        assert (picture.images.dtype, picture.images.shape) == (np.uint8, (8, 16, 16, 3))
    assert not np.array_equal(pictures[0].images, pictures[2].images)


def test_a_gan_is_pictured_after_each_epoch_from_the_same_noise(make_loop):
    still = events(make_loop("adversarial", optimizer={"lr": 1e-30}), Pictured)
    assert [picture.epoch for picture in still] == [1, 2, 3]
    assert all(np.array_equal(picture.images, still[0].images) for picture in still)
    assert (still[0].images.shape, still[0].originals) == ((64, 16, 16, 3), None)
    assert len(np.unique(still[0].images, axis=0)) == 64


@pytest.mark.parametrize("problem", ["images", "vectors", "regression"])
def test_there_is_nothing_to_picture_of_other_tasks(make_loop, problem):
    assert events(make_loop(problem, training={"epochs": 1}), Pictured) == []
