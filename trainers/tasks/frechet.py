"""The Fréchet distance between two sets of features.

Not torchmetrics' `FrechetInceptionDistance`: of a singular covariance it is off by 1e-8 and may be negative, and of
what is not finite it is not a number.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """The Gaussian fitted to the features of a set of images; float64, on the CPU.

    Attributes:
        mean: [F].
        covariance: [F, F], singular where there were no more than F images.
    """

    mean: Tensor
    covariance: Tensor


def statistics(features: Tensor) -> Statistics:
    """Mean and unbiased covariance of features [N, F], in float64 whatever they come in; ValueError for N < 2."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"statistics needs features [N, F] with N > 1, got {list(features.shape)}")
    wide = features.detach().cpu().double()
    return Statistics(wide.mean(dim=0), torch.atleast_2d(wide.T.cov()))


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


def _factor(covariance: Tensor) -> Tensor:
    """An L with L Lᵀ = covariance [F, F]; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(covariance)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()
    return factor
