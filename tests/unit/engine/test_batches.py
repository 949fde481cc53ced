"""Every rank sees its part of the same global batches, whatever the world size and micro-batch."""

import pytest
import torch

from trainers.data import augment as augmentation
from trainers.data.batches import Samples, TrainingBatches, evaluation_batches
from trainers.experiment import Augment

CPU = torch.device("cpu")
CHANGES = Augment(flip=0.5, zoom=0.3, rotate=20, color=0.3)


def batches(pack, size=16, augment=CHANGES, count=40, **world):
    indices = torch.arange(count)
    return TrainingBatches(Samples(pack, CPU), indices, global_batch=size, augment=augment, seed=7, **world)


def seen(loader, epoch, micro=None):
    """The augmented images of an epoch's batches, each batch as one tensor."""
    return [torch.cat([images for images, _ in batch.micro_batches(micro)]) for batch in loader.epoch(epoch)]


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(pack):
    loader = batches(pack, augment=Augment())
    orders = []
    for epoch in (0, 1, 0):
        images = torch.cat([batch.images for batch in loader.epoch(epoch)])
        orders.append(images)
        everything = torch.from_numpy(pack.images)[:40]
        assert torch.equal(images.sum(dim=(1, 2, 3)).sort().values, everything.sum(dim=(1, 2, 3)).sort().values)
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("size", [16, 15])
def test_ranks_together_see_what_one_process_sees(pack, size):
    alone = seen(batches(pack, size), 3)
    ranks = [seen(batches(pack, size, rank=rank, world_size=3), 3) for rank in range(3)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole, torch.cat(parts))


def test_micro_batches_are_the_batch_in_nearly_equal_parts(pack):
    loader = batches(pack)
    assert all(torch.equal(a, b) for a, b in zip(seen(loader, 0), seen(loader, 0, micro=5), strict=True))
    first = next(iter(loader.epoch(0)))
    assert [len(targets) for _, targets in first.micro_batches(5)] == [4, 4, 4, 4]
    assert [len(targets) for _, targets in first.micro_batches(7)] == [6, 5, 5]


def test_a_tail_too_short_for_batch_norm_on_each_rank_is_left_out(pack):
    assert batches(pack, 16, count=35).steps == 3
    assert batches(pack, 16, count=33).steps == 2
    assert batches(pack, 16, count=35, world_size=2).steps == 2


def test_evaluation_takes_every_sample_once_over_all_ranks(pack):
    indices = torch.arange(41)
    targets = [
        torch.cat(
            [targets for _, targets in evaluation_batches(Samples(pack, CPU), indices, size=4, rank=r, world_size=3)]
        )
        for r in range(3)
    ]
    assert [len(part) for part in targets] == [14, 14, 13]
    assert torch.equal(targets[1], torch.from_numpy(pack.labels)[1:41:3])


def test_images_are_normalised_as_torchvision_does_it():
    from torchvision.transforms.v2 import functional

    images = torch.randint(0, 256, (2, 5, 6, 3), dtype=torch.uint8)
    wanted = functional.normalize(images.permute(0, 3, 1, 2).float() / 255, augmentation.MEAN, augmentation.STD)
    torch.testing.assert_close(augmentation.normalise(images), wanted, atol=1e-5, rtol=1e-5)


def changes(**values):
    names = ["flip", "scale", "x", "y", "angle", "brightness", "contrast", "saturation"]
    row = {
        "flip": 1.0,
        "scale": 1.0,
        "x": 0.0,
        "y": 0.0,
        "angle": 0.0,
        "brightness": 1.0,
        "contrast": 1.0,
        "saturation": 1.0,
    }
    return torch.tensor([[(row | values)[name] for name in names]])


@pytest.mark.parametrize("options", [Augment(flip=1), Augment(flip=1, rotate=1)])
def test_a_flip_mirrors_left_and_right(options):
    images = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8)
    flipped = augmentation.apply(images, changes(flip=-1.0), options)
    torch.testing.assert_close(flipped, augmentation.normalise(images.flip(2)), atol=1e-4, rtol=1e-4)


def test_a_quarter_turn_turns_by_a_quarter():
    images = torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8)
    turned = augmentation.apply(images, changes(angle=torch.pi / 2), Augment(rotate=90))
    wanted = [augmentation.normalise(torch.rot90(images, turn, (1, 2))) for turn in (1, -1)]
    assert any(torch.allclose(turned, one, atol=1e-3) for one in wanted)


def test_a_zoom_to_half_shows_the_middle_half():
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    images[:, 2:6, 2:6] = 255
    zoomed = augmentation.apply(images, changes(scale=0.5), Augment(zoom=0.5))
    white = augmentation.normalise(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(zoomed[:, :, 1:7, 1:7], white[:, :, 1:7, 1:7], atol=1e-4, rtol=1e-4)


def test_drawn_changes_stay_within_what_was_asked():
    drawn = augmentation.draw(
        1000, Augment(flip=0.25, zoom=0.4, rotate=10, color=0.2), torch.Generator().manual_seed(0)
    )
    flip, scale, x, y, angle, *colour = drawn.unbind(1)
    assert 0.2 < (flip < 0).float().mean() < 0.3
    assert scale.min() >= 0.6
    assert scale.max() <= 1
    assert ((x.abs() + scale <= 1 + 1e-6) & (y.abs() + scale <= 1 + 1e-6)).all()
    assert angle.abs().max() <= torch.pi / 18
    assert all(column.min() >= 0.8 and column.max() <= 1.2 for column in colour)
