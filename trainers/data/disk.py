"""Writing where others may write too: locks, room, and files that are whole or not there."""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from trainers.errors import RequestError

log = logging.getLogger("trainers")


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock for which others on this machine wait, threads too; it ends with its holder, however that ends.

    Raises:
        Timeout: another has it, and `wait` is false.
        RequestError: the file cannot be written.
    """
    lock = FileLock(path, fallback_to_soft=False)  # a soft one would outlast a holder that is killed
    with writing(path), suppress(Timeout):
        lock.acquire(blocking=False)
    if not lock.is_locked:
        if not wait:
            raise Timeout(lock.lock_file)
        log.info("waiting for another process that is making %s", path.with_suffix(""))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system says about writing to `path` into a RequestError."""
    try:
        yield
    except OSError as error:
        advice = "; make room or set storage.path" if error.errno == errno.ENOSPC else "; check storage.path"
        raise RequestError(f"cannot write {error.filename or path}: {error.strerror}{advice}") from error


def require_space(folder: Path, needed: int) -> None:
    """Raises RequestError unless `needed` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RequestError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB free; make room or set storage.path"
        )


def write_download(
    chunks: Iterable[bytes], size: int, target: Path, progress: Callable[[int, int, str], None] | None
) -> None:
    """Write a download of `size` bytes (0: unknown) to `target`: aside first, synced, renamed last.

    Raises RequestError if it cannot be written, and what `chunks` raises.
    """
    part = target.with_name(target.name + ".part")
    with writing(part):
        file = part.open("wb")
    with file:
        for chunk in chunks:
            with writing(part):
                file.write(chunk)
            if progress is not None and size:
                progress(file.tell(), size, "downloading, bytes")
        with writing(part):
            file.flush()
            os.fsync(file.fileno())
    with writing(target):
        part.replace(target)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its place once the body has written it; else nothing is left of it."""
    aside = folder.with_suffix(".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        yield aside
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sync(path: Path) -> None:
    """Makes a file's content, or the names in a folder, outlast the machine's sudden end; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
