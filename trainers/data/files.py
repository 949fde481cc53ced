"""A tree of files in a folder, a .zip file or S3: their names, sizes and stamps, and the bytes of each."""

import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from trainers.data.decode import IMAGE_SUFFIXES, Unreadable
from trainers.errors import RequestError


@dataclass(frozen=True)
class Entry:
    """One file: its name with `/`, its size in bytes, and a stamp that changes when its content does."""

    name: str
    size: int
    stamp: str  # mtime in ns (folder), CRC-32 (zip), ETag (S3)


@dataclass(frozen=True)
class Files:
    """The files of a tree, sorted by name; hidden ones are left out.

    Attributes:
        place: what the user called it, for messages.
        entries: the images, by their suffix.
        others: all other files.
        read_full: bytes of a file by its name below `place`, from any thread; raises Unreadable for a damaged one.
        folder: where the files lie, if they are plain files, which can be moved.
        prefix: the wrapping folders that `entries` and `others` leave out, ending with `/`.
        threads: how many reads at once are worth while; None: as many as there are cores.
    """

    place: str
    entries: tuple[Entry, ...]
    others: tuple[Entry, ...]
    read_full: Callable[[str], bytes]
    folder: Path | None = None
    prefix: str = ""
    threads: int | None = None

    def read(self, name: str) -> bytes:
        """The bytes of a file; raises Unreadable if it is damaged or no longer there."""
        return self.read_full(self.prefix + name)

    def require(self, name: str) -> bytes:
        """The bytes of a file without which nothing can be done; raises RequestError where `read` says Unreadable."""
        try:
            return self.read(name)
        except Unreadable as error:
            raise RequestError(f"data.path: {self.place}: {self.prefix}{name}: {error}; get that file anew") from error

    def looked_through(self, keep: Collection[str]) -> "Files":
        """Without the folders that wrap everything, unless they are called one of `keep`."""
        tops = {entry.name.partition("/")[0] for entry in self.entries}
        top = tops.pop()
        if tops or top.lower() in keep or any("/" not in entry.name for entry in self.entries):
            return self

        def inside(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            below = (entry for entry in entries if entry.name.startswith(f"{top}/"))
            return tuple(replace(entry, name=entry.name[len(top) + 1 :]) for entry in below)

        inner = replace(self, entries=inside(self.entries), others=inside(self.others), prefix=f"{self.prefix}{top}/")
        return inner.looked_through(keep)


def open_tree(path: str, downloads: Path, progress: Callable[[int, int, str], None] | None = None) -> Files:
    """List a folder, a .zip file, an s3:// prefix or an s3://….zip object.

    Args:
        downloads: local folder in which a zip from S3 is kept.

    Raises:
        RequestError: there is nothing, or it may not be read.
    """
    if path.startswith("s3://"):
        from trainers.data.s3 import open_s3

        return open_s3(path, downloads, progress)
    return open_local(Path(path).expanduser(), path)


def open_files(path: str, downloads: Path, progress: Callable[[int, int, str], None] | None = None) -> Files:
    """Like `open_tree`, for what must hold images; RequestError if it holds none."""
    return require_images(open_tree(path, downloads, progress))


def require_images(files: Files) -> Files:
    """The same files; RequestError if there is no image among them."""
    if files.entries:
        return files
    inner = next((other.name for other in files.others if other.name.lower().endswith(".zip")), None)
    if inner:
        raise RequestError(f"data.path: {files.place} holds no images but {inner}; unpack it and name what is inside")
    raise RequestError(f"data.path: no images in {files.place} (files ending in {' '.join(sorted(IMAGE_SUFFIXES))})")


def fetch_object(url: str, folder: Path, option: str = "model.weights") -> Path:
    """An s3:// object as a file in `folder`, downloaded once; RequestError, naming the option, if it cannot be had."""
    from trainers.data.s3 import fetch

    return fetch(url, folder, option)


def open_local(path: Path, place: str) -> Files:
    """A folder or a .zip file on this machine; `place` is what the user called it."""
    try:
        if path.is_dir():
            return Files(place, *sort_entries(_walk(path, "", ())), lambda name: _read_plain(path / name), folder=path)
        if path.is_file():
            return _open_zip(path, place)
    except OSError as error:
        raise RequestError(f"data.path: cannot read {error.filename or place}: {error.strerror}") from error
    where = "" if path.is_absolute() or place.startswith("~") else f" in {Path.cwd()}"
    raise RequestError(f"data.path: there is no folder or file {place}{where}; check data.path")


def sort_entries(entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Those of the files that are images by their name and all others, each sorted; hidden ones are left out."""
    images: list[Entry] = []
    others: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = PurePosixPath(entry.name)
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            (images if path.suffix.lower() in IMAGE_SUFFIXES else others).append(entry)
    return tuple(images), tuple(others)


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
    images, others = sort_entries(Entry(info.filename, info.file_size, f"{info.CRC:08x}") for info in infos)
    lock = threading.Lock()  # ZipFile counts its open entries without one

    def read(name: str) -> bytes:
        try:
            with lock:
                return archive.read(name)
        except KeyError as error:
            raise Unreadable("no longer there") from error
        # NotImplementedError is zipfile's word for a compression that it does not know.
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise Unreadable(f"damaged in the zip: {error}") from error
        except OSError as error:
            raise RequestError(f"data.path: cannot read {place}: {error.strerror}") from error

    return Files(place, images, others, read)
