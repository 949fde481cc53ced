"""Workers get what there is, and what is not there is refused with the sum."""

import pytest

from trainers.cluster import Resources, find_resources
from trainers.errors import RequestError
from trainers.experiment import Scale


@pytest.mark.parametrize(
    ("scale", "cpus", "gpus", "expected"),
    [
        ({}, 8, 0, Resources(1, 8, gpu=False)),
        ({}, 8, 4, Resources(4, 2, gpu=True)),
        ({"workers": 3}, 8, 0, Resources(3, 2, gpu=False)),
        ({"workers": 0}, 8, 1, Resources(0, 8, gpu=True)),
        ({"workers": 2, "device": "cpu"}, 8, 4, Resources(2, 4, gpu=False)),
        ({"workers": 2, "cpus_per_worker": 1}, 8, 0, Resources(2, 1, gpu=False)),
    ],
)
def test_workers_share_what_there_is(scale, cpus, gpus, expected):
    assert find_resources(Scale(**scale), 64, cpus=cpus, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("scale", "cpus", "gpus", "message"),
    [
        ({"device": "gpu"}, 8, 0, "gpu was asked for, but there is none"),
        ({"workers": 5}, 8, 4, "5 workers need 5 GPUs, there are 4"),
        ({"workers": 3, "cpus_per_worker": 4}, 8, 0, "3 workers × 4 cores are 12 cores, there are 8"),
        ({"workers": 65, "device": "cpu"}, 100, 0, r"65 workers cannot share a training\.batch_size of 64"),
    ],
)
def test_what_is_not_there_is_refused(scale, cpus, gpus, message):
    with pytest.raises(RequestError, match=message):
        find_resources(Scale(**scale), 64, cpus=cpus, gpus=gpus)
