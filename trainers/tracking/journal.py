"""The journal of a run: every record is a line of JSON in `journal.jsonl` before anyone tries to send it.

`journal.sent` beside it holds how many bytes of the journal MLflow has. Both outlive the process, so that whoever
holds the lock (the run itself, or a replay after it) can go on where the last one stopped.
"""

import errno
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from trainers.errors import RequestError

NAME = "journal.jsonl"
SENT = "journal.sent"

Record = dict[str, Any]

# What a record of each kind has, besides `kind` and `time`
_FIELDS = {
    "run": {"run_id", "uri"},
    "metrics": {"values", "step"},
    "params": {"values"},
    "tags": {"values"},
    "artifact": {"path", "folder"},
    "status": {"status"},
}


class Journal:
    """Appends records, from any thread, and holds the journal's lock until it is closed.

    A last line that was torn by a crash is taken off first.

    Raises RequestError: another process has the journal, or the folder cannot be written.
    """

    def __init__(self, folder: Path, wait_s: float = 0.0) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        # On the journal itself, so that it holds wherever the journal is fetched to, and with writers of any version.
        self._owned = FileLock(folder / NAME, wait_s, thread_local=False, preserve_lock_file=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._owned.acquire()
            self._file = (folder / NAME).open("a+b", buffering=0)
        except Timeout:
            raise RequestError(
                f"tracking: {folder / NAME} is in use by another process; wait until that run or replay is over"
            ) from None
        except OSError as error:
            self._owned.release()
            raise RequestError(f"tracking: {folder / NAME} cannot be written ({error.strerror})") from None
        _cut_torn_line(self._file)

    def append(self, kind: str, /, **fields: Any) -> None:
        """Writes one record with the present time in milliseconds, unless `time` is given; takes microseconds.

        Raises:
            OSError: the disk is full or gone; no part of the record is left.
            ValueError: the journal is closed.
        """
        record = {"kind": kind, "time": now_ms(), **fields}
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            # One unbuffered write: a killed process loses nothing that was appended.
            written = self._file.write(line)
            if written != len(line):
                self._file.truncate(self._file.tell() - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        """Gives the lock back."""
        self._file.close()
        self._owned.release()


def read(folder: Path, start: int = 0) -> Iterator[tuple[Record, int]]:
    """Whole records from byte `start` on, each with the byte at which it ends; a damaged line has the kind "".

    Raises RequestError: there is no journal.
    """
    try:
        file = (folder / NAME).open("rb")
    except FileNotFoundError:
        raise RequestError(f"tracking: no {NAME} in {folder}; give the folder of a run") from None
    with file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            start += len(line)
            yield _parse(line), start


def run_id_of(folder: Path) -> str | None:
    """The MLflow run that a folder's journal is of; None if it has none yet."""
    with suppress(RequestError):
        for record, _ in read(folder):
            return record.get("run_id")
    return None


def sent(folder: Path) -> int:
    """How many bytes of the journal MLflow has."""
    try:
        # A journal that was fetched from elsewhere may be of a moment before its `journal.sent`.
        return min(int((folder / SENT).read_text()), (folder / NAME).stat().st_size)
    except (FileNotFoundError, ValueError):
        return 0


def require_free(folder: Path) -> None:
    """That nobody is recording into a folder; raises RequestError: another process has its journal."""
    if (folder / NAME).exists():
        Journal(folder, wait_s=1.0).close()


def remember(folder: Path, end: int) -> None:
    """Notes that MLflow has the journal up to byte `end`."""
    aside = folder / f"{SENT}.new"
    aside.write_text(str(end))
    aside.replace(folder / SENT)


def numbers(values: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers as strict JSON has them: NaN and infinity, which it lacks, become strings that `float` reads."""
    plain = {str(name): float(value) for name, value in values.items()}
    return {name: value if math.isfinite(value) else str(value) for name, value in plain.items()}


def now_ms() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000


def _parse(line: bytes) -> Record:
    try:
        record = json.loads(line)
        whole = {"time", *_FIELDS[record["kind"]]} <= record.keys()
    except (ValueError, LookupError, TypeError, AttributeError):
        whole = False
    return record if whole else {"kind": "", "time": 0}


def _cut_torn_line(file: IO[bytes]) -> None:
    end = position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 65536)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < end:
        file.truncate(position)
