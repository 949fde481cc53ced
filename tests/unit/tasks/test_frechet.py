import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainers.tasks.frechet import Statistics, frechet_distance, statistics
from trainers.tasks.gan_evaluator import collapsed, confident, diversity


def features(count: int, width: int, *, seed: int) -> Tensor:
    """Correlated, all ≥ 0 and of very different sizes, as after a ReLU."""
    made = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=made) * torch.logspace(-2, 1, width)
    return (torch.randn(count, width, generator=made) @ mix + torch.randn(width, generator=made)).relu()


def gaussian(mean: list[float], covariance: list[list[float]]) -> Statistics:
    return Statistics(torch.tensor(mean).double(), torch.tensor(covariance).double())


def predictions(counts: list[int], probability: float = 0.95) -> np.ndarray:
    """Probabilities [N, C] by which class c is the most probable one counts[c] times."""
    rest = (1 - probability) / max(1, len(counts) - 1)
    each = np.full((len(counts), len(counts)), rest, dtype=np.float32)
    np.fill_diagonal(each, probability)
    return each.repeat(counts, axis=0)


def test_statistics_are_the_mean_and_the_unbiased_covariance():
    sample = features(50, 4, seed=0)
    fitted = statistics(sample)
    torch.testing.assert_close(fitted.mean, sample.double().mean(dim=0))
    torch.testing.assert_close(fitted.covariance, sample.double().T.cov())


def test_statistics_need_two_rows_of_features():
    with pytest.raises(ValueError, match="N > 1"):
        statistics(torch.zeros(1, 3))
    with pytest.raises(ValueError, match="N > 1"):
        statistics(torch.zeros(5))


def test_in_one_dimension_the_distance_is_that_of_the_means_and_the_deviations():
    # (μa - μb)² + (σa - σb)²
    assert frechet_distance(gaussian([1.0], [[9.0]]), gaussian([3.0], [[1.0]])) == pytest.approx(4 + 4)


def test_covariances_that_commute_differ_by_the_roots_of_their_eigenvalues():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double()).Q
    one = Statistics(torch.zeros(3).double(), turn @ torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()) @ turn.T)
    two = Statistics(torch.ones(3).double(), turn @ torch.diag(torch.tensor([16.0, 4.0, 1.0]).double()) @ turn.T)
    assert frechet_distance(one, two) == pytest.approx(3 + (9 + 0 + 4))


def test_the_distance_of_two_by_two_covariances_has_a_closed_form():
    # For 2 by 2, tr (ΣaΣb)^½ = (tr ΣaΣb + 2 (det Σa det Σb)^½)^½; these do not commute.
    one, two = gaussian([0, 0], [[2, 1], [1, 3]]), gaussian([0, 0], [[4, -1], [-1, 1]])
    root = math.sqrt(float((one.covariance @ two.covariance).trace()) + 2 * math.sqrt(5 * 3))
    assert frechet_distance(one, two) == pytest.approx(5 + 5 - 2 * root)


@pytest.mark.parametrize("count", [5, 500])  # singular with 5
def test_the_distance_is_zero_for_equals_and_symmetric(count: int):
    one, two = statistics(features(count, 32, seed=0)), statistics(features(count, 32, seed=1))
    scale = float(one.covariance.trace())
    assert 0 <= frechet_distance(one, one) <= 1e-12 * scale
    assert frechet_distance(one, two) == pytest.approx(frechet_distance(two, one))
    assert frechet_distance(one, two) > 0.01 * scale


def test_samples_that_are_all_the_same_have_a_distance():
    point = statistics(torch.ones(10, 3))
    cloud = gaussian([1, 1, 1], [[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    assert frechet_distance(point, cloud) == pytest.approx(6)
    assert frechet_distance(point, point) == 0


def test_the_distance_of_what_is_not_finite_is_infinite():
    broken = features(10, 3, seed=0)
    broken[4, 1] = math.nan
    assert frechet_distance(statistics(broken), statistics(features(10, 3, seed=0))) == math.inf


@pytest.mark.parametrize(("count", "width"), [(400, 16), (60, 64)])
def test_the_distance_is_that_of_torchmetrics(count: int, width: int):
    from torchmetrics.image.fid import FrechetInceptionDistance

    real, fake = features(count, width, seed=2), features(count, width, seed=3)
    extractor = nn.Flatten()  # the features are the images
    extractor.num_features = width
    theirs = FrechetInceptionDistance(feature=extractor).set_dtype(torch.float64)
    theirs.update(real.double(), real=True)
    theirs.update(fake.double(), real=False)
    ours = frechet_distance(statistics(real), statistics(fake))
    assert ours == pytest.approx(float(theirs.compute()), rel=1e-3)


def test_diversity_goes_from_one_class_to_all_equally_often():
    assert diversity(predictions([40, 0, 0, 0])) == 0
    assert diversity(predictions([10, 10, 0, 0])) == pytest.approx(0.5)
    assert diversity(predictions([10, 10, 10, 10])) == pytest.approx(1)
    assert diversity(predictions([5])) == 1


def test_confident_is_the_share_of_clear_samples():
    clear, vague = predictions([3, 0], probability=0.95), predictions([0, 1], probability=0.85)
    assert confident(np.concatenate([clear, vague])) == 0.75
    assert confident(np.concatenate([clear, vague]), above=0.8) == 1


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([100] * 10, False),
        ([300, 200, 150, 100, 80, 60, 50, 40, 15, 5], False),
        ([200] * 5 + [0] * 5, False),
        ([250] * 4 + [0] * 6, True),
        ([240] * 4 + [8] * 5 + [0], True),  # strays do not count as drawn
        ([910] + [10] * 9, True),  # all are drawn, but one crowds out the others
        ([95, 5], True),
        ([80, 20], False),
        ([20], False),
        ([1] * 60 + [0] * 940, False),  # 60 samples cannot show 1000 classes
    ],
)
def test_few_classes_are_a_collapse(counts: list[int], expected: bool):
    assert collapsed(predictions(counts)) is expected


@pytest.mark.parametrize("measure", [diversity, collapsed])
def test_there_must_be_samples(measure):
    with pytest.raises(ValueError, match="N > 0"):
        measure(np.zeros((0, 10)))
