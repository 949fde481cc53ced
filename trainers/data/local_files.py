"""Files in a folder or a .zip file on this machine."""

import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from trainers.data.decode import Unreadable
from trainers.data.files import Entry, Files, sort_entries
from trainers.errors import RequestError


def open_local(path: Path, place: str) -> Files:
    """A folder or a .zip file on this machine, which the user called `place`; RequestError if it cannot be read."""
    try:
        if path.is_dir():
            return Files(place, *sort_entries(_walk(path, "", ())), lambda name: _read_plain(path / name), folder=path)
        if path.is_file():
            return _open_zip(path, place)
    except OSError as error:
        raise RequestError(f"data.path: cannot read {error.filename or place}: {error.strerror}") from error
    where = "" if path.is_absolute() or place.startswith("~") else f" in {Path.cwd()}"
    raise RequestError(f"data.path: there is no folder or file {place}{where}; check data.path")


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
