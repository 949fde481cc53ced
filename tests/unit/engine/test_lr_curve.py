"""A range test's curve suggests a rate where the loss falls, and none where it does not."""

import math

import numpy as np
import pytest

from trainers.engine.lr_curve import LrCurve

RATES = np.geomspace(1e-6, 10, 100)
DECADES = np.log10(RATES)
STEEPEST = -2.5  # of `falling`, in decades
EXPLOSION = np.exp((DECADES + 0.5) * 6)


def falling(noise: float = 0.0, seed: int = 0) -> list[float]:
    """The textbook's curve: flat, down, up and away."""
    fall = 1.6 / (1 + np.exp(-(DECADES - STEEPEST) / 0.35))
    return (2.3 - fall + EXPLOSION + noise * np.random.default_rng(seed).normal(size=100)).tolist()


def flat(noise: float, seed: int) -> np.ndarray:
    return 2.3 + noise * np.random.default_rng(seed).normal(size=100)


def exploded(losses: list[float]) -> bool:
    return LrCurve(RATES[: len(losses)], losses).exploded


def decades(curve: LrCurve) -> float:
    assert curve.suggestion is not None
    return math.log10(curve.suggestion)


def test_the_suggestion_is_where_the_loss_falls_most_steeply():
    assert decades(LrCurve(RATES, falling())) == pytest.approx(STEEPEST, abs=0.25)


@pytest.mark.parametrize("seed", range(10))
def test_the_suggestion_withstands_noise(seed):
    assert decades(LrCurve(RATES, falling(0.2, seed))) == pytest.approx(STEEPEST, abs=0.7)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.3, 1.0])
def test_noise_suggests_nothing(noise, seed):
    assert LrCurve(RATES, flat(noise, seed).tolist()).suggestion is None


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_loss_that_only_rises_suggests_nothing(noise):
    assert LrCurve(RATES, (flat(noise, 0) + DECADES).tolist()).suggestion is None
    assert LrCurve(RATES, (flat(noise, 0) + EXPLOSION).tolist()).suggestion is None


@pytest.mark.parametrize("end", [math.nan, math.inf, 1e30])
def test_how_badly_it_explodes_does_not_matter(end):
    losses = falling()[:80]
    assert decades(LrCurve(RATES, [*losses, *[end] * 20])) == pytest.approx(decades(LrCurve(RATES, losses)), abs=0.15)


def test_the_smoothed_curve_does_not_lag():
    smoothed = LrCurve(RATES, falling()).smoothed
    half = (smoothed[5] + min(smoothed)) / 2
    crossing = next(index for index, loss in enumerate(smoothed) if loss < half)
    assert DECADES[crossing] == pytest.approx(STEEPEST, abs=0.25)


@pytest.mark.parametrize("losses", [[], [1.0], [math.nan], np.linspace(2, 1, 19).tolist()])
def test_a_few_points_suggest_nothing(losses):
    curve = LrCurve(RATES[: len(losses)], losses)
    assert curve.suggestion is None
    assert all(map(math.isfinite, curve.smoothed))


def test_the_test_stops_when_the_loss_explodes_and_not_before():
    losses = falling(0.1)
    ends = next(count for count in range(1, 101) if exploded(losses[:count]))
    assert losses[ends - 1] > 1.5 * losses[0]  # well past the minimum
    assert decades(LrCurve(RATES[:ends], losses[:ends])) == pytest.approx(STEEPEST, abs=0.5)


@pytest.mark.parametrize("last", [math.nan, math.inf])
def test_the_test_stops_at_a_loss_that_is_not_finite(last):
    assert exploded([last])
    assert exploded([1.0] * 10 + [last])


@pytest.mark.parametrize("losses", [[], [0.1, 5.0], [2.0] * 50])
def test_the_test_goes_on_where_nothing_has_happened(losses):
    assert not exploded(losses)
