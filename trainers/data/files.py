"""A tree of files, wherever it lies: their names, sizes and stamps, and the bytes of each."""

from collections.abc import Callable, Collection, Iterable
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


def require_images(files: Files) -> Files:
    """The same files; RequestError if there is no image among them."""
    if files.entries:
        return files
    inner = next((other.name for other in files.others if other.name.lower().endswith(".zip")), None)
    if inner:
        raise RequestError(f"data.path: {files.place} holds no images but {inner}; unpack it and name what is inside")
    raise RequestError(f"data.path: no images in {files.place} (files ending in {' '.join(sorted(IMAGE_SUFFIXES))})")


def sort_entries(entries: Iterable[Entry]) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Those of the files that are images by their name and all others, each sorted; hidden ones are left out."""
    images: list[Entry] = []
    others: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        path = PurePosixPath(entry.name)
        if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts):
            (images if path.suffix.lower() in IMAGE_SUFFIXES else others).append(entry)
    return tuple(images), tuple(others)
