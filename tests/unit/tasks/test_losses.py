"""Losses are what their names say, summed over samples; tallies are exact over parts of any size."""

import math

import pytest
import torch
from torch.nn import functional
from toys import experiment_of

from trainers.tasks import AdversarialLoss, Autoencoding, Classification, Regression, make_task

LABELS = torch.tensor([0, 3, 2, 2, 1])
BLENDED = functional.one_hot(LABELS, 4) * 0.7 + functional.one_hot(LABELS.flip(0), 4) * 0.3


@pytest.fixture
def logits():
    return torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * 3


@pytest.mark.parametrize("targets", [LABELS, BLENDED], ids=["classes", "blended"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_nll_of_log_probabilities_is_cross_entropy_of_logits(logits, targets, smoothing):
    entropy, likelihood = (Classification(name, smoothing) for name in ("cross-entropy", "nll"))
    expected = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    torch.testing.assert_close(entropy.loss(logits, targets), expected)
    torch.testing.assert_close(likelihood.loss(logits.log_softmax(dim=1), targets), expected)
    torch.testing.assert_close(
        likelihood.tally(logits.log_softmax(dim=1), targets), entropy.tally(logits, targets), atol=1e-5, rtol=1e-6
    )


def test_probabilities_are_the_same_of_logits_and_of_log_probabilities(logits):
    task = Classification("cross-entropy")
    torch.testing.assert_close(task.answers(logits.log_softmax(dim=1), LABELS), task.answers(logits, LABELS))


def test_smoothing_spreads_a_share_of_the_target_over_all_classes(logits):
    smoothed = functional.one_hot(LABELS, 4) * 0.8 + 0.2 / 4
    expected = -(smoothed * logits.log_softmax(dim=1)).sum()
    torch.testing.assert_close(Classification("cross-entropy", 0.2).loss(logits, LABELS), expected)


def test_a_hit_on_a_blended_target_is_its_greater_part():
    sure = functional.one_hot(LABELS, 4).float() * 9
    _, hits, samples = Classification("cross-entropy").tally(sure, BLENDED)
    assert (hits, samples) == (5, 5)
    assert Classification("cross-entropy").tally(sure, BLENDED.flip(1))[1] < 5


@pytest.mark.parametrize(
    ("loss", "expected"), [("mse", (0.25 + 4) / 2), ("l1", (0.5 + 2) / 2), ("huber", (0.125 + 1.5) / 2)]
)
def test_losses_of_numbers_are_sums_over_samples_of_means_over_numbers(loss, expected):
    outputs = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    targets = torch.tensor([[0.5, 4.0], [0.0, 0.0]])
    task = Regression(loss)
    assert task.loss(outputs, targets).item() == pytest.approx(expected)
    assert task.tally(outputs, targets).tolist() == pytest.approx([expected, (0.25 + 4) / 2, 2])


def test_binary_cross_entropy_of_pixels():
    outputs, images = torch.full((3, 1, 2, 2), 0.25), torch.ones(3, 1, 2, 2)
    assert Autoencoding("bce").loss(outputs, images).item() == pytest.approx(3 * math.log(4))


def test_an_autoencoders_targets_are_its_inputs_and_its_answers_the_error_of_each_image():
    task, images = Autoencoding("l1"), torch.rand(3, 1, 4, 4)
    assert task.targets(images, torch.zeros(3)) is images
    torch.testing.assert_close(task.answers(images + 0.5, images), torch.full((3, 1), 0.25))


@pytest.mark.parametrize("problem", ["images", "regression", "autoencoding"])
def test_tallies_of_unequal_parts_add_up_to_that_of_the_whole(problem):
    task = make_task(experiment_of(problem))
    generator = torch.Generator().manual_seed(0)
    shape = {"images": (7, 2), "regression": (7, 1), "autoencoding": (7, 3, 4, 4)}[problem]
    outputs, targets = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    if problem == "images":
        targets = torch.arange(7) % 2
    parts = [task.tally(*part) for part in zip(outputs.split(3), targets.split(3), strict=True)]
    torch.testing.assert_close(sum(parts), task.tally(outputs, targets), atol=1e-5, rtol=1e-6)
    assert sum(parts).dtype == torch.float64
    metrics = task.metrics(sum(parts))
    assert metrics.keys() == set(task.counts[:-1])
    assert metrics["loss"] == pytest.approx(task.loss(outputs, targets).item() / 7, rel=1e-5)


def test_there_are_no_metrics_of_nothing():
    assert Regression("mse").metrics(torch.zeros(3, dtype=torch.float64)) == {}


def test_options_reach_the_task():
    assert make_task(experiment_of("regression", training={"loss": "huber"})).loss_name == "huber"
    assert make_task(experiment_of("autoencoding", training={"loss": "bce"})).loss_name == "bce"
    assert make_task(experiment_of("images", training={"label_smoothing": 0.1})).label_smoothing == 0.1


REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-2.0, 1.0, 0.0])


def test_the_losses_of_a_gan_are_goodfellows():
    loss = AdversarialLoss("bce")
    against = -(REAL.sigmoid().log() + (1 - FAKE.sigmoid()).log()).sum() / 2
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), against)
    torch.testing.assert_close(loss.generator(FAKE), -FAKE.sigmoid().log().sum())  # the one that does not saturate


def test_the_losses_of_a_least_squares_gan_are_maos():
    loss = AdversarialLoss("least-squares")
    torch.testing.assert_close(loss.discriminator(REAL, FAKE), ((REAL - 1) ** 2 + FAKE**2).sum() / 2)
    torch.testing.assert_close(loss.generator(FAKE), ((FAKE - 1) ** 2).sum())


@pytest.mark.parametrize("name", ["bce", "least-squares"])
def test_only_the_label_of_real_images_is_smoothed(name):
    plain, smooth = AdversarialLoss(name), AdversarialLoss(name, 0.1)
    label = torch.full_like(REAL, 0.9)
    distance = {"bce": functional.binary_cross_entropy_with_logits, "least-squares": functional.mse_loss}[name]
    assert torch.equal(smooth.generator(FAKE), plain.generator(FAKE))
    only_real = plain.discriminator(REAL, FAKE) - smooth.discriminator(REAL, FAKE)
    expected = (distance(REAL, torch.ones(3), reduction="sum") - distance(REAL, label, reduction="sum")) / 2
    torch.testing.assert_close(only_real, expected)
