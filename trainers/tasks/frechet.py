"""How good generated samples are, as a trained classifier sees them.

Its features tell how far samples are from real images (the Fréchet distance), its probabilities whether every class is
drawn (mode collapse) and how clearly.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_LEAST_DIVERSITY = 0.5  # with 10 classes: about 3 of them, equally often
_LEAST_SHARE = 0.1  # of a class's fair share, to count as drawn: a few strays do not


@dataclass(frozen=True)
class Statistics:
    """The Gaussian fitted to the features of a set of images; float64, on the CPU.

    Args:
        mean: [F].
        covariance: [F, F], singular where there were no more than F images.
    """

    mean: Tensor
    covariance: Tensor


def statistics(features: Tensor) -> Statistics:
    """Mean and unbiased covariance of features [N, F], in float64 whatever they come in.

    Raises ValueError with fewer than two rows.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"statistics needs features [N, F] with N > 1, got {list(features.shape)}")
    wide = features.detach().cpu().double()
    mean = wide.mean(dim=0)
    centred = wide - mean
    return Statistics(mean, centred.T @ centred / (len(wide) - 1))


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """The squared Fréchet distance |μa - μb|² + tr(Σa + Σb - 2 (Σa Σb)^½): 0 for equal ones, symmetric, never negative.

    Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", with the
    features of Inception-v3, whose numbers cannot be compared with those of another network. Fewer images give a
    larger distance, so compare only distances between sets of the same sizes.

    Infinity where a feature was not finite: such samples are worse than any.
    """
    if not all(part.isfinite().all() for part in (a.mean, a.covariance, b.mean, b.covariance)):
        return math.inf
    # With Σ = L Lᵀ the trace of (Σa Σb)^½ is the sum of the singular values of Laᵀ Lb. Taken this way a singular Σ does
    # no harm, whereas a root of the product's eigenvalues would raise their rounding errors from 1e-16 to 1e-8.
    shared = torch.linalg.svdvals(_factor(a.covariance).T @ _factor(b.covariance)).sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * shared
    return max(0.0, float(distance))


def diversity(probabilities: NDArray[np.floating]) -> float:
    """Entropy of how often each class is predicted, as a share of the largest possible.

    1 where all classes are predicted equally often, 0 where it is always the same. `probabilities` is [N, C].
    """
    shares = _shares(probabilities)
    if len(shares) == 1:
        return 1.0
    drawn = shares[shares > 0]
    return float((drawn * -np.log(drawn)).sum()) / math.log(len(shares))


def confident(probabilities: NDArray[np.floating], above: float = 0.9) -> float:
    """Share of the samples whose most probable class has more than `above`. `probabilities` is [N, C]."""
    return float((probabilities.max(axis=1) > above).mean())


def collapsed(probabilities: NDArray[np.floating]) -> bool:
    """Whether the generator draws too few of the classes. `probabilities` is [N, C].

    That is so if the diversity is below 0.5 (one class crowds out the others), or if fewer than half of the classes
    are drawn at least a tenth as often as they would be if all were equal.
    """
    shares = _shares(probabilities)
    drawn = int((shares >= _LEAST_SHARE / len(shares)).sum())
    possible = min(probabilities.shape)  # N samples cannot show more than N classes
    return diversity(probabilities) < _LEAST_DIVERSITY or drawn < possible / 2


def _shares(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """How often each class is the most probable one [C], summing to 1.

    Raises ValueError without any sample.
    """
    if probabilities.ndim != 2 or len(probabilities) == 0:
        raise ValueError(f"probabilities must be [N, C] with N > 0, got {probabilities.shape}")
    count, classes = probabilities.shape
    shares: NDArray[np.float64] = np.bincount(probabilities.argmax(axis=1), minlength=classes) / count
    return shares


def _factor(covariance: Tensor) -> Tensor:
    """An L with L Lᵀ = covariance [F, F]; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()
    return factor
