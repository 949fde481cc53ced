"""A tree of image files in a folder, a .zip file or S3: their names, sizes and stamps, and the bytes of each."""

import errno
import fcntl
import logging
import os
import shutil
import threading
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from trainers.data.decode import IMAGE_SUFFIXES, Unreadable
from trainers.errors import RequestError

log = logging.getLogger("trainers")


@dataclass(frozen=True)
class Entry:
    """One file: its name with `/`, its size in bytes, and a stamp that changes when its content does."""

    name: str
    size: int
    stamp: str  # mtime in ns (folder), CRC-32 (zip), ETag (S3)


@dataclass(frozen=True)
class Files:
    """The images of a tree, sorted by name.

    Attributes:
        place: what the user called it, for messages.
        entries: the images; hidden files and files of other suffixes are left out.
        read_full: bytes of an image by its name below `place`, from any thread; raises Unreadable for a damaged one.
        folder: where the files lie, if they are plain files, which can be moved.
        prefix: the wrapping folders that `entries` leave out, ending with `/`.
        threads: how many reads at once are worth while; None: as many as there are cores.
    """

    place: str
    entries: tuple[Entry, ...]
    read_full: Callable[[str], bytes]
    folder: Path | None = None
    prefix: str = ""
    threads: int | None = None

    def read(self, name: str) -> bytes:
        """The bytes of one of the entries."""
        return self.read_full(self.prefix + name)

    def looked_through(self, keep: Collection[str]) -> "Files":
        """Without the folders that wrap everything, unless they are called one of `keep`."""
        tops = {entry.name.partition("/")[0] for entry in self.entries}
        top = tops.pop()
        if tops or top.lower() in keep or any("/" not in entry.name for entry in self.entries):
            return self
        inner = tuple(replace(entry, name=entry.name[len(top) + 1 :]) for entry in self.entries)
        return replace(self, entries=inner, prefix=f"{self.prefix}{top}/").looked_through(keep)


def open_files(path: str, downloads: Path, progress: Callable[[int, int, str], None] | None = None) -> Files:
    """List the images of a folder, a .zip file, an s3:// prefix or an s3://….zip object.

    Args:
        downloads: local folder in which a zip from S3 is kept.

    Raises:
        RequestError: there is nothing, it may not be read, or it holds no image.
    """
    if path.startswith("s3://"):
        from trainers.data.s3 import open_s3

        files = open_s3(path, downloads, progress)
    else:
        files = open_local(Path(path).expanduser(), path)
    if not files.entries:
        raise RequestError(f"data.path: no images in {path} (files ending in {' '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def fetch_object(url: str, folder: Path) -> Path:
    """An s3:// object as a file in `folder`, downloaded once; RequestError if it cannot be had."""
    from trainers.data.s3 import fetch

    return fetch(url, folder)


def open_local(path: Path, place: str) -> Files:
    """A folder or a .zip file on this machine; `place` is what the user called it."""
    try:
        if path.is_dir():
            entries = image_entries(_walk(path, "", ()))
            return Files(place, entries, lambda name: _read_plain(path / name), folder=path)
        if path.is_file():
            return _open_zip(path, place)
    except OSError as error:
        raise RequestError(f"data.path: cannot read {error.filename or place}: {error.strerror}") from error
    where = "" if path.is_absolute() or place.startswith("~") else f" in {Path.cwd()}"
    raise RequestError(f"data.path: there is no folder or file {place}{where}; check data.path")


def image_entries(entries: Iterator[Entry]) -> tuple[Entry, ...]:
    """Those of the files that are images by their name, sorted."""
    return tuple(sorted((entry for entry in entries if _is_image(entry.name)), key=lambda entry: entry.name))


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_SUFFIXES


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    """All files below, through links too; `above` are the folders on the way, so that a circle of links ends."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", (*above, identity))
            elif entry.is_file():
                status = entry.stat()
                yield Entry(prefix + entry.name, status.st_size, str(status.st_mtime_ns))


def _read_plain(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise Unreadable("no longer there") from error
    except OSError as error:
        raise RequestError(f"data.path: cannot read {path}: {error.strerror}") from error


def _open_zip(path: Path, place: str) -> Files:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError) as error:  # the latter: zipfile's word for a newer zip format
        raise RequestError(
            f"data.path: {place} is not a whole .zip file ({error}); name a folder, a .zip file or s3://"
        ) from error
    infos = [info for info in {info.filename: info for info in archive.infolist()}.values() if not info.is_dir()]
    if any(info.flag_bits & 1 for info in infos):
        raise RequestError(f"data.path: {place} is encrypted; unpack it and name the folder")
    entries = image_entries(Entry(info.filename, info.file_size, f"{info.CRC:08x}") for info in infos)
    inner = next((info.filename for info in infos if info.filename.lower().endswith(".zip")), None)
    if inner and not entries:
        raise RequestError(f"data.path: {place} holds no images but {inner}; unpack it and name what is inside")
    lock = threading.Lock()  # ZipFile counts its open entries without one

    def read(name: str) -> bytes:
        try:
            with lock:
                return archive.read(name)
        # NotImplementedError is zipfile's word for a compression that it does not know.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise Unreadable(f"damaged in the zip: {error}") from error
        except OSError as error:
            raise RequestError(f"data.path: cannot read {place}: {error.strerror}") from error

    return Files(place, entries, read)


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock that other processes on this machine wait for; it ends with its holder, however that ends.

    Without `wait` raises BlockingIOError if another has it.

    The file stays: whoever removed it could remove one that another process has just opened.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            log.info("waiting for another process that is making %s", path.with_suffix(""))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
