"""MixUp and CutMix are torchvision's for the same share, place and partners."""

import numpy as np
import pytest
import torch
from batching import CLASSES, batches, make_samples, seen
from torchvision.transforms import v2

from trainers.data.mixing import Blend, cut_box, draw_blend, kept
from trainers.experiment import Augment

SIDE = 12
COUNT = 5


def torchvisions(kind, share, images, labels):
    """What torchvision makes of them where its Beta distribution gives this share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributions.Beta, "sample", lambda *_: torch.tensor(share))
        return kind(num_classes=CLASSES)(images, labels)


@pytest.fixture
def images():
    return torch.randn(COUNT, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.arange(COUNT) % CLASSES


def blended(blend, images, labels):
    others = blend.partners
    return (blend.inputs(images.clone(), images[others]), blend.targets(labels, labels[others], CLASSES))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_blends_as_torchvision_does(images, labels, share):
    mixed, targets = blended(Blend(torch.arange(COUNT).roll(1), share), images, labels)
    wanted, wanted_targets = torchvisions(v2.MixUp, share, images, labels)
    torch.testing.assert_close(mixed, wanted)
    torch.testing.assert_close(targets, wanted_targets)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_cutmix_cuts_as_torchvision_does(images, labels, share, seed):
    torch.manual_seed(seed)
    column, row = (int(torch.randint(SIDE, size=(1,))) for _ in range(2))  # as torchvision draws the centre
    torch.manual_seed(seed)
    wanted, wanted_targets = torchvisions(v2.CutMix, share, images, labels)
    box = cut_box(share, SIDE, row, column)
    mixed, targets = blended(Blend(torch.arange(COUNT).roll(1), kept(box, SIDE), box), images, labels)
    assert torch.equal(mixed, wanted)
    torch.testing.assert_close(targets, wanted_targets)


def draws(augment, count=500):
    return [draw_blend(COUNT, SIDE, augment, seed) for seed in range(count)]


def test_shares_follow_the_beta_distribution():
    shares = np.array([blend.lam for blend in draws(Augment(mixup=0.4))])
    assert abs(shares.mean() - 0.5) < 0.05
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.1)


def test_partners_are_a_permutation_of_the_global_batch():
    assert all(blend.partners.sort().values.tolist() == list(range(COUNT)) for blend in draws(Augment(mixup=1), 20))


def test_cutmix_keeps_the_share_that_its_box_leaves():
    for blend in draws(Augment(cutmix=1)):
        own = blend.inputs(torch.ones(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE))
        assert own.mean().item() == pytest.approx(blend.lam)


def test_with_both_each_step_has_one_of_the_two():
    cut = [blend.box is not None for blend in draws(Augment(mixup=0.2, cutmix=1))]
    assert 0.4 < np.mean(cut) < 0.6
    assert all(blend.box is None for blend in draws(Augment(mixup=0.2), 20))


def test_nothing_is_blended_unasked():
    assert draw_blend(COUNT, SIDE, Augment(flip=1), 0) is None


def test_each_image_is_blended_with_its_partner_as_that_is_augmented_itself():
    samples = make_samples()
    augment = Augment(flip=0.5, crop=2, cutout=0.3)
    plain = seen(batches(samples, augment), 0)
    loader = batches(samples, augment.model_copy(update={"mixup": 0.4}))
    for (images, labels), (mixed, targets), batch in zip(plain, seen(loader, 0), loader.epoch(0), strict=True):
        blend, _ = batch.mixed
        wanted, wanted_targets = blended(blend, images, labels)
        torch.testing.assert_close(mixed, wanted)
        torch.testing.assert_close(targets, wanted_targets)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(targets)))


def test_a_batch_can_be_taken_twice():
    batch = next(iter(batches(make_samples(), Augment(mixup=1, cutmix=1)).epoch(0)))
    (first, targets), (again, same) = (next(batch.micro_batches(None)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(targets, same)
