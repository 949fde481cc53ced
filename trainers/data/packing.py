"""Making a pack: decoding in parallel, and files that are whole or not there."""

import hashlib
import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainers.data.decode import Unreadable, decode
from trainers.data.listing import Item, Listing, Progress, Split
from trainers.data.splits import UNSPLIT
from trainers.errors import RequestError
from trainers.experiment import Data

FORMAT = 1  # part of the key: raise it when the same source would give other bytes
IMAGES, INDEX, MANIFEST = "images.u8", "index.json", "manifest.json"

Decoded = tuple[NDArray[np.uint8], int]  # pixels, and the CRC-32 of the file that they come from


def pack_key(data: Data, listing: Listing) -> str:
    """Hash of all that a pack's bytes depend on."""
    items = [[item.name, item.size, item.stamp, item.label, item.split] for item in listing.items]
    return short_hash([FORMAT, data.source, data.image_size, data.fit, listing.classes, items])


def short_hash(content: object) -> str:
    """The first 64 bits of the SHA-256 of `content` as JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def write_pack(folder: Path, data: Data, listing: Listing, progress: Progress | None) -> None:
    """Decode in parallel and write in order: images as they come, then the index, the manifest last; all synced.

    Raises RequestError if a class has no readable image for training.
    """
    kept: list[Item] = []
    crcs: list[int] = []
    unreadable: list[tuple[str, str]] = []
    pixels = hashlib.sha256()

    def work(item: Item) -> Decoded | Unreadable:
        try:
            content = listing.files.read(item.name)
            return decode(content, data.image_size, data.fit), zlib.crc32(content)
        except Unreadable as error:
            return error

    with (folder / IMAGES).open("wb") as file:
        # Threads, since Pillow lets go of the interpreter's lock while it decodes and resamples.
        results = _in_order(work, listing.items, listing.files.threads or os.cpu_count() or 1)
        for done, (item, result) in enumerate(results, start=1):
            if isinstance(result, Unreadable):
                unreadable.append((item.name, str(result)))
            else:
                image, crc = result
                file.write(image.data)
                pixels.update(image.data)
                kept.append(item)
                crcs.append(crc)
            if progress is not None:
                progress(done, len(listing.items), "packing")
        _flush(file)
    _require_classes(listing, kept, unreadable)
    index = _index(data, listing, kept, crcs, unreadable, pixels.hexdigest())
    content = json.dumps(index).encode()
    _write_file(folder / INDEX, content)
    manifest = {
        IMAGES: {"bytes": (folder / IMAGES).stat().st_size, "sha256": pixels.hexdigest()},
        INDEX: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }
    _write_file(folder / MANIFEST, json.dumps(manifest).encode())
    sync(folder)


def _in_order(
    work: Callable[[Item], Decoded | Unreadable], items: tuple[Item, ...], threads: int
) -> Iterator[tuple[Item, Decoded | Unreadable]]:
    """Like `Executor.map`, but never more than a few results ahead of whoever takes them."""
    waiting: deque[tuple[Item, Future[Decoded | Unreadable]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > 4 * threads:
                item, future = waiting.popleft()
                yield item, future.result()
        for item, future in waiting:
            yield item, future.result()


def _require_classes(listing: Listing, kept: list[Item], unreadable: list[tuple[str, str]]) -> None:
    trainable = {item.label for item in kept if item.split in (None, Split.TRAIN)}
    for label, name in enumerate(listing.classes):
        if label not in trainable:
            first, cause = unreadable[0]
            raise RequestError(
                f"data.path: {listing.files.place}: no image of class {name} for training is readable; "
                f"{len(unreadable)} of {len(listing.items)} images are not, the first is {first}: {cause}"
            )


def _index(
    data: Data,
    listing: Listing,
    kept: list[Item],
    crcs: list[int],
    unreadable: list[tuple[str, str]],
    pixels: str,
) -> dict[str, Any]:
    names = [item.name for item in kept]
    labels = [item.label for item in kept]
    return {
        "format": FORMAT,
        "source": data.source,
        "image_size": data.image_size,
        "fit": data.fit,
        "classes": listing.classes,
        "fingerprint": short_hash([pixels, [listing.classes[label] for label in labels], names]),
        "names": names,
        "labels": labels,
        "given": [UNSPLIT if item.split is None else item.split for item in kept],
        "originals": [[item.size, crc] for item, crc in zip(kept, crcs, strict=True)],
        "unreadable": unreadable,
    }


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        _flush(file)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def sync(folder: Path) -> None:
    """Makes the names in a folder last, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
