"""The plan says what a job must wait for, and warns of what will not fit."""

import pytest

from trainers.cluster import Resources
from trainers.display import Display
from trainers.experiment import Experiment
from trainers.models import dry_run
from trainers.runs.plan import describe_model

GIB = 2**30


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (Resources(2, 4, gpu=False, memory=GIB), []),
        (Resources(2, 4, gpu=False, memory=GIB, wait="busy: all"), ["waits       busy: all"]),
        (Resources(2, 4, gpu=False, memory=2**20), ["warning: a worker's"]),
        (Resources(2, 4, gpu=True, memory=2**20), []),  # a GPU's memory is its own
        (Resources(2, 4, gpu=False), []),  # nobody knows
    ],
)
def test_waits_and_a_lack_of_memory_are_told(resources, expected, capsys):
    experiment = Experiment()
    size = dry_run(experiment, (3, 32, 32), 2, None)
    describe_model(experiment, size, resources, Display())
    after = capsys.readouterr().out.partition("runs on ")[2].splitlines()[1:]
    assert [line[: len(start)] for line, start in zip(after, expected, strict=True)] == expected
