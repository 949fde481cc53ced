"""MixUp and CutMix: each image of a batch, and its class, blended with another one's.

Not torchvision's `v2.MixUp` and `v2.CutMix`: they draw from the global generator, and take an image's partner from the
same tensor, while here it may be another rank's.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from trainers.experiment import Augment

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two are outside


@dataclass(frozen=True)
class Blend:
    """How one global batch is blended.

    Attributes:
        partners: place in the global batch of the sample that each is blended with, [n].
        lam: λ in 0…1, what an image keeps of its class; its partner's class gets the rest.
        box: CutMix's patch, which comes from the partner; None: MixUp, where all pixels are blended as the classes are.
    """

    partners: torch.Tensor
    lam: float
    box: Box | None = None

    def inputs(self, own: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """Images [m, C, H, W] with their partners [m, C, H, W] blended into them, in the memory of either."""
        if self.box is None:
            return own.mul_(self.lam).add_(others.mul_(1 - self.lam))
        top, left, bottom, right = self.box
        own[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        return own

    def targets(self, own: torch.Tensor, others: torch.Tensor, classes: int) -> torch.Tensor:
        """The share of each class, floats [m, classes] in 0…1, from class numbers [m] and those of the partners [m]."""
        mine, theirs = (functional.one_hot(labels, classes).float() for labels in (own, others))
        return mine.mul_(self.lam).add_(theirs.mul_(1 - self.lam))


def draw_blend(count: int, side: int, augment: Augment, seed: int) -> Blend | None:
    """Draws how a global batch of `count` square images is blended; None when it is not asked for.

    One λ for the whole batch comes from Beta(α, α), as in MixUp (Zhang et al. 2018, arXiv 1710.09412) and
    CutMix (Yun et al. 2019, arXiv 1905.04899). Where both are asked for, each step has one of them, evenly.
    """
    if not (augment.mixup or augment.cutmix):
        return None
    random = np.random.default_rng(seed)
    cut = augment.cutmix > 0 and (augment.mixup == 0 or random.random() < 0.5)
    alpha = augment.cutmix if cut else augment.mixup
    lam = random.beta(alpha, alpha)
    partners = torch.from_numpy(random.permutation(count))
    if not cut:
        return Blend(partners, lam)
    box = cut_box(lam, side, *random.integers(side, size=2).tolist())
    return Blend(partners, kept(box, side), box)


def cut_box(lam: float, side: int, row: int, column: int) -> Box:
    """The square about a centre that takes the share 1 - λ of an image of this side, clipped at its borders."""
    half = int(0.5 * math.sqrt(1 - lam) * side)
    return max(row - half, 0), max(column - half, 0), min(row + half, side), min(column + half, side)


def kept(box: Box, side: int) -> float:
    """Share of an image of this side that lies outside the box."""
    top, left, bottom, right = box
    return 1 - (bottom - top) * (right - left) / side**2
