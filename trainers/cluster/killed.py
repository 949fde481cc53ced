"""Workers that were killed because their machine ran out of memory: those in their place are told."""

import logging
from contextlib import suppress
from typing import Any

import ray  # noqa: F401  # first, and waited for: another thread may be importing it
from ray.exceptions import OutOfMemoryError
from ray.train import UserCallback

from trainers.engine.note import NOTE, Note
from trainers.engine.out_of_memory import KILLED
from trainers.errors import WorkError
from trainers.storage import Mirror

log = logging.getLogger("trainers")

# How Ray 2.60 words the end of a process that its node's memory monitor chose. The end of any other lost process
# is worded with all that may have happened to it, the kernel's OOM killer among them.
SIGN = "due to the node running low on memory"


class NoteKilled(UserCallback):
    """Leaves a note in a run's folder when Ray's memory monitor has killed a worker.

    The Linux kernel's killer tells nobody; see `trainers.engine.note.was_killed` for that.
    """

    def __init__(self, run: Mirror) -> None:
        self.run = run

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Called by Ray Train's controller before it starts the workers again."""
        if any(by_monitor(error) for error in worker_exceptions.values()):
            note_killed(self.run)


def note_killed(run: Mirror) -> None:
    """Leaves the note, also for workers on other machines if storage is on S3."""
    Note(0, KILLED).write(run.folder)
    with suppress(WorkError):  # then those on other machines may be killed once more
        run.push_file(NOTE)


def by_monitor(error: BaseException) -> bool:
    """Whether a worker's end is the memory monitor's doing."""
    inner = getattr(error, "health_check_failure", error)
    return isinstance(inner, OutOfMemoryError) or SIGN in str(inner)
