"""Images are normalised as torchvision does it, and come back unharmed."""

import pytest
import torch
from torchvision.transforms.v2 import functional

from trainers.data.normalise import Normalise

NAMES = ["imagenet", "mnist", "unit", "symmetric"]


def all_bytes(channels):
    return torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).repeat(2, 1, 1, channels)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_become_what_torchvision_makes_of_them_and_come_back(name, channels):
    normalise, images = Normalise.of(name, channels), all_bytes(channels)
    result = normalise(images)
    wanted = functional.normalize(images.permute(0, 3, 1, 2).float() / 255, list(normalise.mean), list(normalise.std))
    torch.testing.assert_close(result, wanted, atol=1e-5, rtol=1e-5)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(normalise.undo(result), images)


def test_each_name_has_its_numbers():
    assert Normalise.of("imagenet", 3) == Normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Normalise.of("imagenet", 1).mean == pytest.approx((0.449,))
    assert Normalise.of("mnist", 3) == Normalise((0.1307,) * 3, (0.3081,) * 3)
    images = all_bytes(1)
    assert Normalise.of("unit", 1)(images).aminmax() == (0, 1)
    assert Normalise.of("symmetric", 1)(images).aminmax() == (-1, 1)


def test_what_lies_beyond_black_and_white_becomes_black_and_white():
    images = torch.tensor([-3.0, 7.0]).view(1, 1, 1, 2)
    assert Normalise.of("symmetric", 1).undo(images).flatten().tolist() == [0, 255]


def test_vectors_stay_as_they_are():
    vectors = torch.randn(4, 2)
    assert Normalise.of("imagenet", 2)(vectors) is vectors


def test_images_on_their_way_through_a_network_can_be_undone_after_an_evaluation():
    normalise = Normalise((0.25,), (0.125,))  # nobody else's
    with torch.inference_mode():
        normalise(all_bytes(1))
    assert normalise.undo(torch.full((1, 1, 1, 1), 6.0, requires_grad=True)).item() == 255
