"""Takes memory from a process that trains, wherever this folder is on PYTHONPATH: Python imports this at its start.

Environment:
    LIMIT_MB: from the moment on, the process may have so much more address space than it has then. Unset: no limit.
    LIMIT_RANK: of which rank; unset, of a process that has none, such as that of trials with one worker.
    LIMIT_AFTER: the moment: when so many forward passes under DDP are done. Unset: right before it is tried whether the
        first batch fits.

Each training looks for the note of an earlier start then, and an audit hook sees that. A rank that finds one is left
alone: it was started again in place of one that had the limit.
"""

import os
import resource
import sys
from collections.abc import Mapping

NOTE = "/memory.json"
MB = 2**20


def watch(environment: Mapping[str, str]) -> None:
    """Waits for the first training of this process."""
    extra, after = int(environment["LIMIT_MB"]) * MB, int(environment.get("LIMIT_AFTER", 0))
    rank, begun = environment.get("LIMIT_RANK"), False

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal begun
        if begun or event != "open" or not str(arguments[0]).endswith(NOTE) or os.environ.get("RANK") != rank:
            return
        begun = True
        if os.path.exists(str(arguments[0])):  # noqa: PTH110  # pathlib is slow to import, and this is everywhere
            return
        if after:
            limit_later(extra, after)
        else:
            limit(extra)

    sys.addaudithook(hook)


def limit(extra: int) -> None:
    """Lets this process have so many bytes more than it has."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        has = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + extra, -1))


def limit_later(extra: int, passes: int) -> None:
    """The same between the forward and the backward pass of a step."""
    from torch.nn.modules.module import register_module_forward_hook
    from torch.nn.parallel import DistributedDataParallel

    done = 0

    def count(module: object, *rest: object) -> None:
        nonlocal done
        if isinstance(module, DistributedDataParallel):
            done += 1
            if done == passes:
                limit(extra)

    register_module_forward_hook(count)


if "LIMIT_MB" in os.environ:
    watch(os.environ)
