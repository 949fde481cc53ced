"""Augmented images are what torchvision makes of them for the same draws."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from trainers.data.augment import COLUMNS, apply_changes, draw_changes, rand_augment
from trainers.data.normalise import Normalise
from trainers.experiment import Augment

SIDE = 12


@pytest.fixture(params=[3, 1], ids=["rgb", "grey"])
def images(request):
    return torch.randint(
        0, 256, (6, SIDE, SIDE, request.param), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def first(images):
    """Channels first, as torchvision has them."""
    return images.permute(0, 3, 1, 2)


def last(images):
    return images.permute(0, 2, 3, 1)


def normalise(images, name="imagenet"):
    return Normalise.of(name, images.shape[-1])(images)


def augmented(images, augment, changes=None, name="imagenet"):
    if changes is None:
        changes = draw_changes(len(images), augment, torch.Generator().manual_seed(5))
    return apply_changes(images, changes, augment, Normalise.of(name, images.shape[-1]))


def drawn(augment, name, count=6, seed=5):
    return draw_changes(count, augment, torch.Generator().manual_seed(seed))[:, COLUMNS.index(name)]


def change(**values):
    """Changes of one image: none but these."""
    nothing = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "zoom": 1.0}
    return torch.tensor([[(nothing | values).get(name, 0.0) for name in COLUMNS]])


def wanted_moves(images, augment):
    """torchvision's crop and mirror image of each image, by the draws of `augmented`."""
    moved = []
    for image, x, y, flip in zip(first(images), *(drawn(augment, name) for name in COLUMNS[:3]), strict=True):
        image = functional.pad(image, augment.crop)
        image = functional.crop(image, augment.crop + int(y), augment.crop + int(x), SIDE, SIDE)
        moved.append(functional.horizontal_flip(image) if flip else image)
    return last(torch.stack(moved))


@pytest.mark.parametrize("options", [{"flip": 0.5}, {"crop": 4}, {"flip": 0.5, "crop": 3}])
def test_mirror_images_and_crops_are_exactly_those_of_torchvision(images, options):
    augment = Augment(**options)
    wanted = wanted_moves(images, augment)
    assert torch.equal(augmented(images, augment), normalise(wanted))
    assert not torch.equal(wanted, images)


@pytest.mark.parametrize("share", [0.25, 0.4, 1.0])
def test_a_cutout_is_torchvisions_erasing_of_a_clipped_square(images, share):
    augment = Augment(cutout=share)
    length = round(share * SIDE)
    wanted = []
    for image, x, y in zip(normalise(images), drawn(augment, "cutout_x"), drawn(augment, "cutout_y"), strict=True):
        top, left = (int(way * SIDE) - length // 2 for way in (y, x))
        height, width = (min(start + length, SIDE) - max(start, 0) for start in (top, left))
        wanted.append(functional.erase(image, max(top, 0), max(left, 0), height, width, torch.zeros(())))
    assert torch.equal(augmented(images, augment), torch.stack(wanted))


def test_randaugment_is_torchvisions_with_a_seed_for_each_image(images):
    augment = Augment(randaugment=2, randaugment_magnitude=12)
    seeds = [11, 7, 7, 2**62, 3, 0]
    state = torch.get_rng_state()
    changed = rand_augment(images, seeds, augment)
    assert torch.equal(torch.get_rng_state(), state)
    for image, seed, result in zip(first(images), seeds, first(changed), strict=True):
        torch.manual_seed(seed)
        assert torch.equal(result, v2.RandAugment(2, 12)(image))


def test_a_quarter_turn_turns_by_a_quarter(images):
    turned = augmented(images[:1], Augment(rotate=90), change(angle=torch.pi / 2))
    wanted = [normalise(torch.rot90(images[:1], turn, (1, 2))) for turn in (1, -1)]
    assert any(torch.allclose(turned, one, atol=1e-3) for one in wanted)


def test_a_zoom_to_half_shows_the_middle_half():
    images = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    images[:, 2:6, 2:6] = 255
    zoomed = augmented(images, Augment(zoom=0.5), change(zoom=0.5))
    white = normalise(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8))
    torch.testing.assert_close(zoomed[:, :, 1:7, 1:7], white[:, :, 1:7, 1:7], atol=1e-4, rtol=1e-4)


def test_no_change_of_colour_changes_nothing(images):
    same = augmented(images[:1], Augment(color=0.5), change())
    torch.testing.assert_close(same, normalise(images[:1]))


def test_saturation_is_nothing_to_a_grey_image(images):
    grey = images[:1, ..., :1]
    changed = augmented(grey, Augment(color=0.5), change(saturation=0.5), "unit")
    torch.testing.assert_close(changed, normalise(grey, "unit"))


def test_without_contrast_all_is_middle_grey(images):
    flat = augmented(images[:1], Augment(color=1), change(contrast=0.0), "symmetric")
    torch.testing.assert_close(flat, torch.zeros_like(flat))


@pytest.mark.parametrize("name", ["unit", "symmetric", "imagenet"])
def test_colours_stay_between_black_and_white(images, name):
    black, white = (
        normalise(torch.full((1, 1, 1, images.shape[-1]), level, dtype=torch.uint8), name) for level in (0, 255)
    )
    changed = augmented(images, Augment(color=1, rotate=30, cutout=0.2), name=name)
    assert ((changed >= black - 1e-5) & (changed <= white + 1e-5)).all()
    assert not torch.equal(changed, normalise(images, name))


def test_drawn_changes_stay_within_what_was_asked():
    augment = Augment(flip=0.25, zoom=0.4, rotate=10, color=0.2, crop=2, cutout=0.5)
    changes = dict(zip(COLUMNS, draw_changes(2000, augment, torch.Generator().manual_seed(0)).unbind(1), strict=True))
    assert 0.2 < changes["flip"].mean() < 0.3
    assert changes["zoom"].min() >= 0.6
    assert changes["zoom"].max() <= 1
    assert all((changes[way].abs() + changes["zoom"] <= 1 + 1e-6).all() for way in ("zoom_x", "zoom_y"))
    assert changes["angle"].abs().max() <= torch.pi / 18
    for name in ("brightness", "contrast", "saturation"):
        assert changes[name].min() >= 0.8
        assert changes[name].max() <= 1.2
    for name in ("crop_x", "crop_y"):
        values, counts = changes[name].unique(return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert counts.min() > 2000 / 5 * 0.8


def test_nothing_is_drawn_for_what_is_not_asked():
    assert draw_changes(4, Augment(mixup=1, randaugment=2), torch.Generator()) is None
