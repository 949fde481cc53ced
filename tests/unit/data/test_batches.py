"""Every rank sees its part of the same global batches, whatever the world size and micro-batch."""

import pytest
import torch
from batching import batches, make_samples, make_vectors, seen

from trainers.errors import RequestError
from trainers.experiment import Augment

MOVED = Augment(flip=0.5, zoom=0.3, rotate=20, color=0.3)
EVERYTHING = [
    Augment(),
    MOVED,
    Augment(flip=0.5, crop=2, cutout=0.4),
    Augment(randaugment=2, flip=0.5),
    Augment(mixup=0.4, crop=2, color=0.2),
    Augment(cutmix=1.0, randaugment=1),
    Augment(mixup=0.2, cutmix=1.0, cutout=0.3),
]


@pytest.fixture(params=[3, 1], ids=["rgb", "grey"])
def samples(request):
    return make_samples(channels=request.param)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(samples):
    loader = batches(samples, Augment())
    orders = []
    for epoch in (0, 1, 0):
        images = torch.cat([loader.samples.take(batch.indices)[0] for batch in loader.epoch(epoch)])
        orders.append(images)
        everything = samples.inputs[:40]
        assert torch.equal(images.sum(dim=(1, 2, 3)).sort().values, everything.sum(dim=(1, 2, 3)).sort().values)
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("augment", EVERYTHING)
@pytest.mark.parametrize("size", [16, 15])
def test_ranks_together_see_what_one_process_sees(samples, augment, size):
    alone = seen(batches(samples, augment, size=size), 3)
    ranks = [seen(batches(samples, augment, size=size, rank=rank, world_size=3), 3) for rank in range(3)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert same(whole, [torch.cat(tensors) for tensors in zip(*parts, strict=True)])


@pytest.mark.parametrize("augment", EVERYTHING)
def test_micro_batches_are_the_batch_in_nearly_equal_parts(samples, augment):
    loader = batches(samples, augment)
    assert all(same(a, b) for a, b in zip(seen(loader, 0), seen(loader, 0, micro=5), strict=True))
    first = next(iter(loader.epoch(0)))
    assert [len(targets) for _, targets in first.micro_batches(5)] == [4, 4, 4, 4]
    assert [len(targets) for _, targets in first.micro_batches(7)] == [6, 5, 5]


@pytest.mark.parametrize("augment", EVERYTHING[1:])
def test_each_epoch_changes_images_in_its_own_way_and_always_in_the_same(samples, augment):
    # The split is one sample many times over, so that only the changes can differ.
    loader = batches(samples, augment)
    loader.indices = torch.zeros_like(loader.indices)
    first, second, again = (seen(loader, epoch)[0] for epoch in (0, 1, 0))
    assert same(first, again)
    assert not torch.equal(first[0], second[0])


def test_batches_neither_draw_from_the_global_generator_nor_change_it(samples):
    loader = batches(samples, Augment(randaugment=2, flip=0.5, mixup=0.4, cutmix=1.0))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = seen(loader, 0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert all(same(a, b) for a, b in zip(first, seen(loader, 0), strict=True))


def test_a_tail_too_short_for_batch_norm_on_each_rank_is_left_out(samples):
    assert batches(samples, Augment(), count=35).steps == 3
    assert batches(samples, Augment(), count=33).steps == 2
    assert batches(samples, Augment(), count=35, world_size=2).steps == 2


def test_vectors_come_as_they_are_with_their_values():
    samples = make_vectors()
    inputs, values = samples.take(torch.arange(48))
    assert torch.equal(inputs, samples.inputs)
    assert torch.equal(values, samples.targets)
    assert values.shape == (48, 1)
    trained = seen(batches(samples, Augment(), count=48), 0)
    order = torch.cat([inputs[:, 0] for inputs, _ in trained]).argsort()
    assert torch.equal(torch.cat([values for _, values in trained])[order], values[inputs[:, 0].argsort()])


def test_vectors_are_not_augmented():
    with pytest.raises(RequestError, match=r"^data\.augment\.cutout: .*vectors"):
        batches(make_vectors(), Augment(cutout=0.5))
