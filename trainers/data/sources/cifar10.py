"""CIFAR-10 as its author publishes it, in Python's or the binary form, or unpacked to PNG files.

- cifar-10-batches-py/data_batch_1 … data_batch_5 and test_batch: what torchvision downloads. These are pickles, which
  can run code when loaded; here their opcodes are only read (pickletools), and nothing is run.
- cifar-10-batches-bin/data_batch_1.bin … test_batch.bin: records of a label and 3,072 bytes.
- train/CLASS/NAME.png and test/CLASS/NAME.png: as any folder of classes.

In the first two an image is 1,024 bytes each of red, green and blue, row by row (A. Krizhevsky, "Learning multiple
layers of features from tiny images", 2009, and its data sheet). The test batch is the test split; the others are split
further by the seed.
"""

import pickletools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trainers.data.bulk import Arrays, Bulk, stamp_of
from trainers.data.files import Entry, Files, require_images
from trainers.data.listing import SPLIT_FOLDERS, UNSPLIT, Listing, Split
from trainers.data.sources.folder import list_folder
from trainers.errors import RequestError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_PIXELS = 3 * 32 * 32
_INTEGERS = ("BININT", "BININT1", "BININT2")

Parsed = tuple[NDArray[np.int64], NDArray[np.uint8]]  # labels [n], planes [n, 3072]


def list_cifar10(files: Files) -> Listing | Bulk:
    """The images in `files`; RequestError if a batch is missing, or if there is neither a batch nor an image."""
    return (
        _batches(files, "", parse_pickle)
        or _batches(files, ".bin", parse_records)
        or list_folder(require_images(files).looked_through(SPLIT_FOLDERS))
    )


def _batches(files: Files, suffix: str, parse: Callable[[bytes], Parsed]) -> Bulk | None:
    """The six batches of one form; None if there is none of them."""
    by_name = {entry.name.rpartition("/")[2]: entry for entry in files.others}
    missing = [name + suffix for name in BATCHES if name + suffix not in by_name]
    if len(missing) == len(BATCHES):
        return None
    if missing:
        raise RequestError(f"data.path: {files.place} lacks {', '.join(missing)}; put that beside the others")
    entries = [by_name[name + suffix] for name in BATCHES]
    return Bulk(CLASSES, stamp_of(entries), lambda: _load(files, entries, parse), files.place)


def _load(files: Files, entries: list[Entry], parse: Callable[[bytes], Parsed]) -> Arrays:
    names: list[str] = []
    labels, planes, given = [], [], []
    for name, entry in zip(BATCHES, entries, strict=True):
        try:
            batch = parse(files.require(entry.name))
        except ValueError as error:
            raise RequestError(
                f"data.path: {files.place}: {entry.name} is no whole batch of CIFAR-10 ({error}); get that file anew"
            ) from error
        count = len(batch[0])
        names += [f"{name}/{number:04}" for number in range(count)]
        labels.append(batch[0])
        planes.append(batch[1])
        given.append(np.full(count, Split.TEST if name == BATCHES[-1] else UNSPLIT, np.int8))
    images = np.concatenate(planes).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Arrays(names, images, np.concatenate(labels), np.concatenate(given))


def parse_pickle(content: bytes) -> Parsed:
    """Labels and pixels of a pickled batch, a dictionary with `labels` and `data`, without unpickling it.

    The labels are the integers that follow the string "labels", up to the next string; the data is the longest string.
    Python 2's strings and NumPy's bytes are given as latin-1 text, which is a character per byte.

    Raises ValueError for what is no pickle, or whose labels and data do not agree.
    """
    labels: list[int] = []
    data: str | bytes | bytearray = b""
    key: str | bytes | bytearray = b""
    for opcode, argument, _ in pickletools.genops(content):
        if isinstance(argument, (str, bytes, bytearray)):
            key = argument
            data = max(data, argument, key=len)
        elif key in ("labels", b"labels") and isinstance(argument, int) and opcode.name in _INTEGERS:
            labels.append(argument)
    return _checked(np.array(labels, np.int64), data.encode("latin-1") if isinstance(data, str) else data)


def parse_records(content: bytes) -> Parsed:
    """Labels and pixels of a binary batch; raises ValueError if its length is not that of whole records."""
    if len(content) % (1 + _PIXELS):
        raise ValueError(f"{len(content):,} bytes are no multiple of {1 + _PIXELS:,}")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return _checked(records[:, 0].astype(np.int64), records[:, 1:].tobytes())


def _checked(labels: NDArray[np.int64], data: bytes | bytearray) -> Parsed:
    if not len(labels) or len(data) != len(labels) * _PIXELS:
        raise ValueError(f"{len(labels):,} labels and {len(data):,} bytes of pixels, {_PIXELS:,} of which are an image")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"labels from {labels.min()} to {labels.max()} for {len(CLASSES)} classes")
    return labels, np.frombuffer(data, np.uint8).reshape(-1, _PIXELS)
