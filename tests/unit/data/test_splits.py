import numpy as np
import pytest

from trainers.data.listing import UNSPLIT, Split
from trainers.data.splits import assign
from trainers.errors import RequestError


def samples(*counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    return (
        [f"{label}.{place}.jpg" for place, label in enumerate(labels)],
        labels,
        np.full(len(labels), UNSPLIT, np.int8),
    )


def divide(names, labels, given, validation=0.08, test=0.08, seed=0):
    return assign(names, labels, given, validation=validation, test=test, seed=seed)


def count(codes):
    return [int(np.count_nonzero(codes == split)) for split in Split]


def test_the_default_of_25000_photos_gives_2000_each():
    names, labels, given = samples(12_500, 12_500)
    codes = divide(names, labels, given)
    assert count(codes) == [21_000, 2_000, 2_000]
    assert count(codes[labels == 0]) == [10_500, 1_000, 1_000]


@pytest.mark.parametrize("counts", [(10, 10), (7, 11, 13), (97, 3), (50, 1, 1), (1, 2, 3, 4, 5, 6, 7)])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.1), (0.33, 0.2), (3, 2), (0, 0.25), (0.3, 0), (1, 1)])
def test_totals_are_exact_stratified_and_leave_each_class_a_training_sample(counts, validation, test):
    names, labels, given = samples(*counts)
    codes = divide(names, labels, given, validation, test)
    size = len(names)
    for split, share in ((Split.VALIDATION, validation), (Split.TEST, test)):
        total = share if share >= 1 or share == 0 else max(1, round(share * size))
        assert np.count_nonzero(codes == split) == total
        for label, members in enumerate(counts):
            if min(counts) * (1 - share / size if share >= 1 else 1 - share) > 3:
                assert abs(np.count_nonzero((codes == split) & (labels == label)) - total * members / size) <= 1
    for label in range(len(counts)):
        assert np.any((codes == Split.TRAIN) & (labels == label))


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    drawn = [divide(*samples(40, 40), seed=seed).tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_split_is_the_same_on_every_machine_and_version():
    codes = divide(*samples(6, 6), validation=2, test=2, seed=7)
    assert codes.tolist() == [2, 0, 0, 0, 1, 0, 1, 2, 0, 0, 0, 0]


def test_the_order_of_samples_does_not_matter():
    names, labels, given = samples(30, 20)
    order = np.random.default_rng(0).permutation(len(names))
    shuffled = divide([names[place] for place in order], labels[order], given[order])
    assert shuffled.tolist() == divide(names, labels, given)[order].tolist()


def test_another_share_for_validation_leaves_the_test_split_as_it_is():
    one, other = (divide(*samples(40, 60), validation=share) for share in (0.1, 0.4))
    assert np.array_equal(one == Split.TEST, other == Split.TEST)


def test_what_the_source_gives_is_kept_and_not_taken_twice():
    names, labels, given = samples(20, 20)
    given[:4] = Split.TEST
    given[-4:] = Split.TEST
    codes = divide(names, labels, given, validation=0.25, test=0.25)
    assert np.array_equal(codes == Split.TEST, given == Split.TEST)
    assert count(codes) == [24, 8, 8]
    given[4:6] = Split.VALIDATION
    assert np.array_equal(divide(names, labels, given), np.where(given == UNSPLIT, Split.TRAIN, given))


@pytest.mark.parametrize(("validation", "test"), [(0.6, 0.6), (20, 0), (0.95, 0), (0, 19), (10, 9)])
def test_shares_that_leave_a_class_without_training_samples_are_refused(validation, test):
    with pytest.raises(RequestError, match=r"data.test .* and data.validation .* each of 2 classes must keep one"):
        divide(*samples(10, 10), validation, test)


def test_half_an_image_is_refused():
    with pytest.raises(RequestError, match=r"data.test: 2.5 is neither a fraction below 1 nor a whole number"):
        divide(*samples(10, 10), test=2.5)


def test_a_small_share_of_few_images_is_one_image():
    assert count(divide(*samples(3, 3))) == [4, 1, 1]
