"""Holds up a process that trains before it keeps a checkpoint, wherever this folder is on PYTHONPATH, for tests that do
something to a job in a place of their choice: Python imports this at its start.

Environment:
    HOLD: a file. While it is there, no checkpoint is kept whose path ends as the pattern in it says.
"""

import os
import re
import sys
import time
from collections.abc import Callable


def holding(file: str) -> Callable[[str, tuple[object, ...]], None]:
    """An audit hook that waits where a checkpoint that is whole gets its name."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        while event == "os.rename" and _is_held(file, str(arguments[1])):
            time.sleep(0.05)

    return hook


def _is_held(file: str, path: str) -> bool:
    if "/checkpoints/epoch-" not in path:
        return False
    try:
        with open(file) as stream:  # noqa: PTH123  # pathlib is slow to import, and this is everywhere
            return re.search(stream.read() + "$", path) is not None
    except FileNotFoundError:
        return False


if "HOLD" in os.environ:
    sys.addaudithook(holding(os.environ["HOLD"]))
