"""Work on many things at once whose results are wanted in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def map_in_order(work: Callable[[_In], _Out], items: Iterable[_In], threads: int | None = None) -> Iterator[_Out]:
    """The results of `work` on each of `items` in their order, by several threads; unset, one per core.

    Threads, since Pillow lets go of the interpreter's lock while it decodes and resamples. Never more than a few
    results ahead of whoever takes them, which `Executor.map` can be told from Python 3.14 on (`buffersize`).
    """
    threads = threads or os.cpu_count() or 1
    waiting: deque[Future[_Out]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()
