"""A folder of this machine and its lasting copy on S3."""

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.errors import RequestError, TrainersError, WorkError
from trainers.experiment import Storage
from trainers.storage.place import on_s3

if TYPE_CHECKING:
    from trainers.storage.s3 import Remote

# What a run's ranks write, on whichever machines they are: they see to it themselves. And what is not yet written.
_LEFT_OUT = ("checkpoints", "memory.json", "oom-kills-*", ".*", "*.lock", "*.new", "*.part")
_THREADS = 8  # small files at a time

_Stamp = tuple[int, int]  # of a file: when it was last changed, and its size

log = logging.getLogger("trainers")


class Mirror:
    """A folder of this machine and, with `storage.path` on S3, its lasting copy there.

    Where there is none, nothing here does anything, so that callers need not ask. It can be sent to other machines.

    Attributes:
        folder: on this machine.
        url: of the copy; None where the folder is all there is.
    """

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder, self.url = folder, url
        self._pushed: dict[str, _Stamp] = {}
        self._pushing = threading.Lock()  # one push at a time
        self._thread: threading.Thread | None = None
        self._lock, self._wanted, self._failed = threading.Lock(), False, False

    @classmethod
    def of(cls, options: Storage, storage: Path, folder: Path) -> "Mirror":
        """The mirror of a folder in the storage.

        Args:
            storage: as `local_folder`; a folder that is not below it has no copy.
        """
        if not on_s3(options) or not folder.is_relative_to(storage):
            return cls(folder, None)
        below = folder.relative_to(storage).as_posix()
        return cls(folder, f"{options.path.rstrip('/')}/{below}" if below != "." else options.path.rstrip("/"))

    def __reduce__(self) -> tuple[type["Mirror"], tuple[Path, str | None]]:
        return Mirror, (self.folder, self.url)

    def shown(self, name: str = "") -> str:
        """Where a file of it, or all of it, is kept: an s3:// address, or a path on this machine."""
        if self.url is None:
            return str(self.folder / name)
        return f"{self.url}/{name}" if name else self.url

    def push(self) -> None:
        """Copies the files that are new, or have changed since they were last pushed by this object.

        Raises WorkError: in one line, if that fails.
        """
        if self.url is None:
            return
        with self._pushing, ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(self._push_changed, list(self._files())))

    def push_soon(self) -> None:
        """The same in the background. What fails is told once, and tried again with the next push."""
        if self.url is None:
            return
        with self._lock:
            self._wanted = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._push_while_wanted, name="mirror", daemon=True)
                self._thread.start()

    def settle(self) -> None:
        """Waits until everything is copied. Where that fails, it is told where the files lie."""
        if (thread := self._thread) is not None:
            thread.join()
        self._failed = False
        self._try_push()

    def pull(self, below: str = "") -> None:
        """Fetches the files that this machine lacks or has otherwise, but for lines (*.jsonl) of which it has more.

        Args:
            below: how their names begin.

        Raises RequestError: in one line, if that fails.
        """
        if self.url is None:
            return
        remote = self._remote(RequestError)
        there = [found for found in remote.objects(below) if _lasts(found.name)]
        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(remote.fetch, there, (self.folder / found.name for found in there)))

    def push_file(self, name: str) -> None:
        """Copies one file, whatever it is; raises WorkError."""
        if self.url is not None:
            self._unsent(name).touch()
            self._lasting.upload(name, self.folder / name)
            self._unsent(name).unlink(missing_ok=True)

    def pull_file(self, name: str) -> None:
        """Fetches one file, whatever it is, if there is a copy; raises WorkError.

        Where the last `push_file` from this machine has failed, its own is newer: it stays, and is pushed again.
        """
        if self._unsent(name).exists():
            self.push_file(name)
        elif self.url is not None and (content := self._lasting.read(name)) is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            aside = self.folder / f".{name}.{os.getpid()}"
            aside.write_bytes(content)
            aside.replace(self.folder / name)

    def remove(self) -> None:
        """Removes the copy with everything in it; raises WorkError."""
        if self.url is not None:
            self._lasting.delete([found.name for found in self._lasting.objects()])

    def folders(self) -> list[str]:
        """The folders in the copy, ascending; none where there is no copy; raises RequestError."""
        return [] if self.url is None else self._remote(RequestError).folders()

    def _unsent(self, name: str) -> Path:
        """Is there while a file is newer than its copy."""
        return self.folder / f".{name}.unsent"

    @cached_property
    def _lasting(self) -> "Remote":
        return self._remote(WorkError)

    def _remote(self, raises: type[TrainersError]) -> "Remote":
        from trainers.storage.s3 import Remote

        assert self.url is not None
        return Remote(self.url, "storage.path", raises)

    def _files(self) -> Iterator[str]:
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if path.is_file() and _lasts(name):
                yield name

    def _push_changed(self, name: str) -> None:
        file = self.folder / name
        with suppress(FileNotFoundError):  # it is gone meanwhile
            stamp = _stamp(file)  # before it is read: what is written meanwhile is pushed next time
            if self._pushed.get(name) != stamp:
                self._lasting.upload(name, file)
                self._pushed[name] = stamp

    def _push_while_wanted(self) -> None:
        while True:
            with self._lock:
                if not self._wanted:
                    self._thread = None
                    return
                self._wanted = False
            self._try_push()

    def _try_push(self) -> None:
        try:
            self.push()
            self._failed = False
        except (TrainersError, OSError) as error:
            if not self._failed:
                log.warning("%s; the files are in %s", error, self.folder)
            self._failed = True


def _stamp(file: Path) -> _Stamp:
    """What changes when a file does."""
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _lasts(name: str) -> bool:
    return not any(fnmatch(part, pattern) for part in name.split("/") for pattern in _LEFT_OUT)
