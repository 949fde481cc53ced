"""Writing a pack's files: the samples of a source, decoded, in order."""

import hashlib
import json
import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainers.data.bulk import Arrays, Bulk
from trainers.data.decode import Unreadable, decode, fitted
from trainers.data.disk import require_space, sync
from trainers.data.listing import UNSPLIT, Item, Listing, Progress, Split
from trainers.data.pack_key import FORMAT, short_hash
from trainers.data.sources.by_name import channels_of
from trainers.data.threads import map_in_order
from trainers.errors import RequestError
from trainers.experiment import Data

INPUTS, INDEX, MANIFEST = "inputs.bin", "index.json", "manifest.json"
_INDEX_BYTES = 1000  # the index takes less per sample
_TOGETHER = 32  # images of an array that a thread resizes at once: handing over a small one takes longer than that

Decoded = tuple[NDArray[np.uint8], int]  # pixels, and the CRC-32 of the file that they come from


def write_pack(folder: Path, data: Data, source: Listing | Bulk, progress: Progress | None) -> None:
    """Write inputs as they come, in order, then the index, the manifest last; all synced.

    Raises RequestError if a class has no readable image for training, a file is damaged, or the disk is too small.
    """
    with (folder / INPUTS).open("wb") as file:
        inputs = _Inputs(file)
        if isinstance(source, Listing):
            table = _write_images(inputs, data, source, progress)
        else:
            table = _write_arrays(inputs, data, source, progress)
    sync(folder / INPUTS)
    digest = inputs.digest.hexdigest()
    targets: object = table.values or [source.classes[label] for label in table.labels]
    index = {
        "format": FORMAT,
        "source": data.source,
        "fit": data.fit,
        "classes": source.classes,
        "fingerprint": short_hash([digest, targets, table.names]),
        "shape": inputs.shape,
        "dtype": inputs.dtype.str,
        **vars(table),
    }
    content = json.dumps(index).encode()
    _write_file(folder / INDEX, content)
    manifest = {
        INPUTS: {"bytes": (folder / INPUTS).stat().st_size, "sha256": digest},
        INDEX: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
    }
    _write_file(folder / MANIFEST, json.dumps(manifest).encode())
    sync(folder)


@dataclass
class _Table:
    """What the index says of the samples; see `Pack`."""

    names: list[str]
    labels: list[int]
    given: list[int]
    originals: list[tuple[int, int]]
    unreadable: list[tuple[str, str]]
    values: list[list[float]] | None = None


class _Inputs:
    """The file of inputs, which hashes what is written to it and knows the shape and type of a sample."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.shape: tuple[int, ...] = ()
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def begin(self, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Says what will be written; raises RequestError if the disk has no room for it."""
        self.shape, self.dtype = shape, dtype
        require_space(Path(self.file.name).parent, count * (math.prod(shape) * dtype.itemsize + _INDEX_BYTES))

    def write(self, samples: NDArray[Any]) -> None:
        """Appends one sample or several."""
        self.file.write(samples.data)
        self.digest.update(samples.data)


def _write_images(inputs: _Inputs, data: Data, listing: Listing, progress: Progress | None) -> _Table:
    """Decodes and writes image files; a class must keep one for training."""
    channels = channels_of(data)
    table = _Table([], [], [], [], [])

    def work(item: Item) -> Decoded | Unreadable:
        try:
            content = listing.files.read(item.name)
            return decode(content, data.image_size, data.fit, channels), zlib.crc32(content)
        except Unreadable as error:
            return error

    inputs.begin(len(listing.items), (data.image_size, data.image_size, channels), np.dtype(np.uint8))
    results = map_in_order(work, listing.items, listing.files.threads)
    for done, (item, result) in enumerate(zip(listing.items, results, strict=True), start=1):
        if isinstance(result, Unreadable):
            table.unreadable.append((item.name, str(result)))
        else:
            image, crc = result
            inputs.write(image)
            table.names.append(item.name)
            table.labels.append(item.label)
            table.given.append(UNSPLIT if item.split is None else item.split)
            table.originals.append((item.size, crc))
        if progress is not None:
            progress(done, len(listing.items), "packing")
    _require_classes(listing, table)
    return table


def _write_arrays(inputs: _Inputs, data: Data, bulk: Bulk, progress: Progress | None) -> _Table:
    """Writes arrays as they are, or image by image where another size or colour is wanted."""
    arrays = bulk.load()
    samples, side, channels = np.ascontiguousarray(arrays.inputs), data.image_size, channels_of(data)
    count, *present = samples.shape
    wanted = (side, side, channels) if samples.dtype == np.uint8 else tuple(present)

    def resized(images: NDArray[Any]) -> NDArray[np.uint8]:
        return np.stack([fitted(image, side, data.fit, channels) for image in images])

    inputs.begin(count, wanted, samples.dtype)
    parts: Iterable[NDArray[Any]] = [samples]
    if tuple(present) != wanted:
        parts = map_in_order(resized, (samples[at : at + _TOGETHER] for at in range(0, count, _TOGETHER)))
    done = 0
    for part in parts:
        inputs.write(part)
        done += len(part)
        if progress is not None:
            progress(done, count, "packing")
    labels, given = arrays.labels.tolist(), arrays.given.tolist()
    values = None if arrays.values is None else arrays.values.tolist()
    return _Table(arrays.names, labels, given, _originals(samples, arrays), [], values)


def _originals(samples: NDArray[Any], arrays: Arrays) -> list[tuple[int, int]]:
    """Size in bytes and CRC-32 of each sample with its values."""
    rows = samples.reshape(len(samples), -1).view(np.uint8)
    if arrays.values is not None:
        rows = np.hstack([rows, np.ascontiguousarray(arrays.values).view(np.uint8)])
    return [(rows.shape[1], zlib.crc32(row.data)) for row in rows]


def _require_classes(listing: Listing, table: _Table) -> None:
    trainable = {
        label for label, split in zip(table.labels, table.given, strict=True) if split in (UNSPLIT, Split.TRAIN)
    }
    for label, name in enumerate(listing.classes):
        if label not in trainable:
            first, cause = table.unreadable[0]
            raise RequestError(
                f"data.path: {listing.files.place}: no image of class {name} for training is readable; "
                f"{len(table.unreadable)} of {len(listing.items)} images are not, the first is {first}: {cause}"
            )


def _write_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    sync(path)
