"""MNIST and Fashion-MNIST: idx files as their authors publish them and torchvision keeps them, plain or .gz.

The four files lie in one folder at `data.path`, in raw/ or in MNIST/raw/ (FashionMNIST/raw/) below it. The t10k files
are the test split; what lies in train is split further by the seed. Headers say how many images there are.

The idx format: two zero bytes, a byte for the type (8: unsigned bytes), one for the number of dimensions, each
dimension as a big-endian int32, then the data in C order (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database").
"""

import gzip
import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from trainers.data.bulk import Arrays, Bulk, stamp_of
from trainers.data.files import Entry, Files
from trainers.data.listing import UNSPLIT, Split
from trainers.errors import RequestError

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def list_mnist(files: Files) -> Bulk:
    """The handwritten digits in `files`; RequestError if one of the four files is not there."""
    return _bulk(files, "MNIST", DIGITS)


def list_fashion_mnist(files: Files) -> Bulk:
    """The pieces of clothing in `files`; RequestError if one of the four files is not there."""
    return _bulk(files, "FashionMNIST", FASHION)


def _bulk(files: Files, folder: str, classes: tuple[str, ...]) -> Bulk:
    entries = _find(files, folder)
    return Bulk(classes, stamp_of(entries), lambda: _load(files, entries, len(classes)), files.place)


def _find(files: Files, folder: str) -> list[Entry]:
    """The four files; where torchvision's folder holds several data sets, those of `folder`."""
    by_folder: dict[str, dict[str, Entry]] = {}
    for entry in files.others:  # sorted, so that a plain file comes before the same with .gz
        place, _, name = entry.name.rpartition("/")
        if name.removesuffix(".gz") in IDX_FILES:
            by_folder.setdefault(place, {}).setdefault(name.removesuffix(".gz"), entry)
    places = [place for place in by_folder if folder in place.split("/")]
    places = places or [place for place in by_folder if not place.endswith("MNIST/raw")]
    if len(places) != 1:
        seen = f"several folders ({', '.join(places)}) have" if places else "nothing there is called"
        raise RequestError(
            f"data.path: {files.place}: {seen} {IDX_FILES[0]}; name the folder with the four files "
            f"{', '.join(IDX_FILES)}, plain or .gz"
        )
    found = by_folder[places[0]]
    if missing := [name for name in IDX_FILES if name not in found]:
        raise RequestError(
            f"data.path: {files.place} lacks {', '.join(missing)} (plain or .gz); put that beside the others"
        )
    return [found[name] for name in IDX_FILES]


def _load(files: Files, entries: list[Entry], classes: int) -> Arrays:
    train, train_labels = _read_pair(files, entries[0], entries[1], classes)
    test, test_labels = _read_pair(files, entries[2], entries[3], classes)
    if train.shape[1:] != test.shape[1:]:
        raise RequestError(
            f"data.path: {files.place}: images of {_by(train.shape[1:])} pixels to train and of "
            f"{_by(test.shape[1:])} to test; get the files anew"
        )
    counts = {"train": len(train), "test": len(test)}
    return Arrays(
        names=[f"{split}/{number:05}" for split, count in counts.items() for number in range(count)],
        inputs=np.concatenate([train, test])[..., None],
        labels=np.concatenate([train_labels, test_labels]).astype(np.int64),
        given=np.repeat(np.array([UNSPLIT, Split.TEST], np.int8), [*counts.values()]),
    )


def _read_pair(files: Files, images: Entry, labels: Entry, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images [n, H, W] and labels [n] that belong together."""
    pixels, numbers = _read_idx(files, images, 3), _read_idx(files, labels, 1)
    if len(pixels) != len(numbers):
        raise RequestError(
            f"data.path: {files.place}: {images.name} has {len(pixels)} images and {labels.name} has {len(numbers)} "
            "labels; get the two anew"
        )
    if numbers.max() >= classes:
        raise RequestError(
            f"data.path: {files.place}: {labels.name} has a label {numbers.max()}, but there are {classes} classes; "
            "get that file anew"
        )
    return pixels, numbers


def _read_idx(files: Files, entry: Entry, dimensions: int) -> NDArray[np.uint8]:
    """The array in an idx file; RequestError if it is not as its header says."""
    # Not by torchvision's reader, which wants a path: there is none in a zip or on S3.
    where = f"data.path: {files.place}: {entry.name}"
    content = files.require(entry.name)
    if entry.name.endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise RequestError(f"{where} is damaged ({error}); get that file anew") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise RequestError(f"{where} is no idx file of bytes in {dimensions} dimensions; get that file anew")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    size, expected = len(content) - start, math.prod(shape)
    if size != expected or not size:
        raise RequestError(
            f"{where} holds {size:,} bytes of data, and by its header {_by(shape)} = {expected:,}; get that file anew"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _by(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
