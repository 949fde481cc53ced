"""Workers get what there is, and what is not there is refused with the sum."""

import pytest

from trainers.cluster import Resources, concurrency, find_resources
from trainers.errors import RequestError
from trainers.experiment import Scale, Search


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
        ({"sync_batchnorm": True}, 8, 0, "scale.sync_batchnorm: PyTorch has it for GPUs alone"),
        ({"workers": 5}, 8, 4, "5 workers need 5 GPUs, there are 4"),
        ({"workers": 3, "cpus_per_worker": 4}, 8, 0, "3 workers × 4 cores are 12 cores, there are 8"),
        ({"workers": 65, "device": "cpu"}, 100, 0, r"65 workers cannot share a training\.batch_size of 64"),
    ],
)
def test_what_is_not_there_is_refused(scale, cpus, gpus, message):
    with pytest.raises(RequestError, match=message):
        find_resources(Scale(**scale), 64, cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("scale", "cpus", "gpus", "expected"),
    [
        ({}, 8, 0, Resources(1, 1, gpu=False)),
        ({"workers": 0}, 8, 0, Resources(1, 1, gpu=False)),
        ({"cpus_per_worker": 2}, 8, 0, Resources(1, 2, gpu=False)),
        ({"workers": 2}, 8, 0, Resources(2, 1, gpu=False)),
        ({}, 16, 4, Resources(1, 4, gpu=True)),
        ({"workers": 2}, 16, 4, Resources(2, 4, gpu=True)),
        ({"device": "cpu"}, 16, 4, Resources(1, 1, gpu=False)),
    ],
)
def test_a_trial_takes_little_so_that_many_run(scale, cpus, gpus, expected):
    assert find_resources(Scale(**scale), 64, cpus=cpus, gpus=gpus, sweep=True) == expected


@pytest.mark.parametrize(
    ("search", "resources", "trials", "cpus", "gpus", "expected"),
    [
        ({}, Resources(1, 1, gpu=False), 20, 8, 0, 8),
        ({}, Resources(1, 1, gpu=False), 3, 8, 0, 3),
        ({}, Resources(2, 2, gpu=False), 20, 8, 0, 2),
        ({}, Resources(1, 2, gpu=True), 20, 16, 4, 4),
        ({}, Resources(2, 8, gpu=True), 20, 16, 4, 1),
        ({"concurrent": 2}, Resources(1, 1, gpu=False), 20, 8, 0, 2),
    ],
)
def test_as_many_trials_run_at_a_time_as_fit(search, resources, trials, cpus, gpus, expected):
    assert concurrency(Search(**search), resources, trials, cpus=cpus, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "message"),
    [
        (Resources(2, 1, gpu=False), 2, 0, "4 trials × 2 workers × 1 cores are 8 cores, there are 2"),
        (Resources(1, 1, gpu=True), 16, 2, "4 trials × 1 workers × 1 GPUs are 4 GPUs, there are 2"),
    ],
)
def test_more_trials_at_a_time_than_fit_are_refused(resources, cpus, gpus, message):
    with pytest.raises(RequestError, match=rf"search\.concurrent: {message}"):
        concurrency(Search(concurrent=4), resources, 20, cpus=cpus, gpus=gpus)
