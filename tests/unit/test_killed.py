"""Which ends of a worker mean that its machine ran out of memory."""

from types import SimpleNamespace

import pytest
from ray.exceptions import OutOfMemoryError

from trainers.cluster.killed import NoteKilled, by_monitor
from trainers.engine.note import Note
from trainers.engine.out_of_memory import KILLED
from trainers.storage import Mirror

# As Ray 2.60 words it
LOST = (
    "Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the "
    "process was killed by the OOM killer due to high memory usage, (2) ray stop --force was called, or (3) it crashed."
)
CHOSEN = "Task was killed due to the node running low on memory."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError(CHOSEN), True),
        (RuntimeError(CHOSEN), True),
        (SimpleNamespace(health_check_failure=OutOfMemoryError(CHOSEN)), True),
        (RuntimeError(LOST), False),
        (SimpleNamespace(health_check_failure=RuntimeError(LOST)), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_the_memory_monitors_choice_is_told_from_any_other_lost_process(error, expected):
    assert by_monitor(error) == expected


def test_the_workers_in_its_place_find_a_note(tmp_path):
    watch = NoteKilled(Mirror(tmp_path, None))
    watch.after_exception(None, {0: RuntimeError(LOST)})
    assert Note.read(tmp_path) is None
    watch.after_exception(None, {0: RuntimeError(LOST), 1: OutOfMemoryError(CHOSEN)})
    assert Note.read(tmp_path) == Note(0, KILLED)
