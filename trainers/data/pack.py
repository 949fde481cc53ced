"""A source decoded once into an array of fixed-size samples on local disk.

    storage/packs/KEY/inputs.bin     bytes [N, size, size, channels] or float32 [N, D], in the order of names
                      index.json     shape and dtype of a sample, names, labels or values, given splits, classes,
                                     unreadable images with their causes
                      manifest.json  byte size and SHA-256 of the two

KEY is a hash of what the pack is made from: format, source, each file's name, size and stamp, each image's class,
image size, channels and fit. The seed, the shares of the splits and the augmentation are not part of it: changing them
packs nothing anew.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import Timeout
from numpy.typing import NDArray

from trainers.data.bulk import Bulk
from trainers.data.disk import locked, replacing, writing
from trainers.data.listing import Listing, Progress
from trainers.data.pack_key import pack_key, short_hash
from trainers.data.packing import INDEX, INPUTS, MANIFEST, write_pack
from trainers.data.sources.by_name import list_source
from trainers.data.unreadable import apply_policy
from trainers.experiment import Data

log = logging.getLogger("trainers")

Shape = tuple[int, ...]  # of one sample as the network sees it: (C, H, W) for images, (D,) for vectors


class _DamagedError(ValueError):
    """A pack's folder does not hold what its manifest says."""


@dataclass(frozen=True, eq=False)
class Pack:
    """Decoded samples and what is known of them.

    Attributes:
        inputs: images, bytes [N, H, W, C] with C 1 or 3, or vectors, floats [N, D]; mapped from disk, read-only.
        labels: class numbers [N]; 0 where values are predicted.
        names: of the samples in the source, in its order.
        given: `Split` codes [N] that the source gives, -1 where it leaves them to the seed.
        classes: class names, by number; none where values are predicted.
        unreadable: name and cause of each image that was left out.
        fingerprint: hash of inputs, classes or values, and names: the identity of the content.
        key: hash of what the pack was made from, the name of its folder.
        folder: where it lies.
        originals: size in bytes and CRC-32 of each image file, or of each sample before it was resized, [N, 2].
        values: what is predicted, [N, T], where that is not a class.
    """

    inputs: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]
    names: list[str]
    given: NDArray[np.int8]
    classes: tuple[str, ...]
    unreadable: list[tuple[str, str]]
    fingerprint: str
    key: str
    folder: Path
    originals: NDArray[np.int64]
    values: NDArray[np.float32] | None = None

    @property
    def shape(self) -> Shape:
        """Of one sample as the network sees it: (C, H, W) or (D,)."""
        *sides, last = self.inputs.shape[1:]
        return (last, *sides)

    def split_fingerprint(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> str:
        """Identity of the samples `indices` in any order: their names, classes and originals.

        It does not depend on image size, fit or packing: it tells whether two models were tested on the same samples.
        """
        classes = self.classes or ("",)
        rows = sorted([self.names[i], classes[self.labels[i]], *self.originals[i].tolist()] for i in indices)
        return short_hash(rows)


def open_pack(data: Data, storage: Path, *, progress: Progress | None = None) -> Pack:
    """Open the pack of `data` below `storage`, packing it first if it is not there or damaged.

    Safe to call from several processes at once: one packs, the others wait for it.

    Raises:
        RequestError: the source cannot be listed or downloaded; the disk is too small; a file is damaged; a class has
            no readable image; or what `data.unreadable` asks for.
        WorkError: S3 went away while packing.
    """
    source = list_source(data, storage, progress)
    folder = storage / "packs" / pack_key(data, source)
    pack = load_pack(folder)
    if pack is None:
        with locked(folder.with_suffix(".lock")), writing(folder):
            pack = _load_or_build(folder, data, source, progress)
    if isinstance(source, Bulk) or not apply_policy(data.unreadable, source, pack.unreadable):
        return pack
    # What is left is what the pack holds, so it becomes the pack of what is left.
    remaining = list_source(data, storage, progress)
    target = folder.with_name(pack_key(data, remaining))
    with locked(target.with_suffix(".lock")), writing(target):
        if folder.exists() and not target.exists():
            folder.rename(target)
    return open_pack(data, storage, progress=progress)


def reopen_pack(key: str, data: Data, storage: Path) -> Pack:
    """Open a pack whose key is known, without listing the source; packed here if this machine does not have it.

    Raises RequestError: as `open_pack`.
    """
    return load_pack(storage / "packs" / key) or open_pack(data, storage)


def load_pack(folder: Path) -> Pack | None:
    """The pack in `folder`; None if there is none, or none that is whole: `open_pack` says so and packs it again.

    It is read and checked once in a process, which may train many times, as long as its files are not written to.
    """
    try:
        written = tuple((folder / name).stat().st_mtime_ns for name in (MANIFEST, INDEX, INPUTS))
        return _load_once(folder, written)
    except (OSError, _DamagedError):
        return None


@lru_cache(maxsize=4)
def _load_once(folder: Path, written: tuple[int, ...]) -> Pack | None:
    return _load(folder)


def _load(folder: Path) -> Pack | None:
    """The pack in `folder`, checked against its manifest; None if there is none; raises _DamagedError."""
    if not folder.exists():
        return None
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        for name in (INPUTS, INDEX):
            _verify(folder / name, **manifest[name])
        index = json.loads((folder / INDEX).read_bytes())
        shape = (len(index["names"]), *index["shape"])
        inputs = np.memmap(folder / INPUTS, np.dtype(index["dtype"]), mode="r", shape=shape)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(f"{folder} cannot be mapped into memory") from None
        raise _DamagedError(f"{Path(str(error.filename)).name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _DamagedError(str(error)) from error
    return Pack(
        inputs=inputs,
        labels=np.array(index["labels"], np.int64),
        names=index["names"],
        given=np.array(index["given"], np.int8),
        classes=tuple(index["classes"]),
        unreadable=[(name, cause) for name, cause in index["unreadable"]],
        fingerprint=index["fingerprint"],
        key=folder.name,
        folder=folder,
        originals=np.array(index["originals"], np.int64),
        values=None if index["values"] is None else np.array(index["values"], np.float32),
    )


def _verify(path: Path, bytes: int, sha256: str) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != bytes:
            raise _DamagedError(f"{path.name} has {size} bytes and should have {bytes}")
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise _DamagedError(f"{path.name} does not have the content that was written")


def _load_or_build(folder: Path, data: Data, source: Listing | Bulk, progress: Progress | None) -> Pack:
    """Under the lock: what another process has made meanwhile, or a new pack."""
    try:
        if (pack := _load(folder)) is not None:
            return pack
    except _DamagedError as damage:
        log.warning("pack %s is damaged (%s) and is packed again", folder, damage)
    _remove_leftovers(folder.parent)
    with replacing(folder) as aside:
        write_pack(aside, data, source, progress)
    pack = _load(folder)
    assert pack is not None
    return pack


def _remove_leftovers(packs: Path) -> None:
    """Removes what killed packings left: their locks are free."""
    for aside in packs.glob("*.part"):
        with suppress(Timeout), locked(aside.with_suffix(".lock"), wait=False):
            shutil.rmtree(aside, ignore_errors=True)
