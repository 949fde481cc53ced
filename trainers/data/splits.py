"""Which sample is for training, validation or test: by the source where it says so, else by the seed."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.data.listing import UNSPLIT, Split
from trainers.data.pack import Pack
from trainers.errors import RequestError
from trainers.experiment import Data


@dataclass(frozen=True, eq=False)
class SplitIndices:
    """Places in the pack of the samples of each split, ascending, [n] int64."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and samples of each split."""
        yield from (("train", self.train), ("validation", self.validation), ("test", self.test))


@dataclass(frozen=True)
class Prepared:
    """Data that is ready, in its splits."""

    pack: Pack
    splits: SplitIndices

    def counts(self) -> list[tuple[str, list[int]]]:
        """How many samples each split has per class, in the order of the classes."""
        rows = []
        for name, indices in self.splits.items():
            count = Counter(self.pack.labels[indices].tolist())
            rows.append((name, [count[label] for label in range(max(1, len(self.pack.classes)))]))
        return rows


def splits_of(pack: Pack, data: Data, seed: int) -> SplitIndices:
    """The splits that the source gives, or that the seed makes where it gives none.

    Raises RequestError: the shares asked for leave too little for training.
    """
    codes = assign(pack.names, pack.labels, pack.given, validation=data.validation, test=data.test, seed=seed)
    return SplitIndices(*(np.flatnonzero(codes == split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)))


def assign(
    names: Sequence[str],
    labels: NDArray[np.int64],
    given: NDArray[np.int8],
    *,
    validation: float,
    test: float,
    seed: int,
) -> NDArray[np.int8]:
    """Choose the split of each sample.

    Stratified: each class gives its part of a share, by largest remainder, so that the total is exact; each keeps at
    least one sample for training. Within a class the samples are taken in the order of a hash of seed and name. So a
    sample's split does not depend on the order of files, nor on any library's random numbers, and changing the share
    for validation leaves the test split as it is.

    Args:
        names: of the samples, [N].
        labels: class numbers [N].
        given: splits that the source gives [N]; UNSPLIT samples are divided here, the others left.
        validation: fraction (< 1) or count of the UNSPLIT samples; unused if the source gives validation samples.
        test: likewise.
        seed: another seed is another division.

    Returns:
        `Split` codes [N].

    Raises RequestError: the shares leave too little for training, or a count is no whole number.
    """
    pool = np.flatnonzero(given == UNSPLIT)
    counts = np.bincount(labels[pool], minlength=1)
    totals = {
        split: 0 if np.any(given == split) else _count(share, len(pool), f"data.{split.name.lower()}")
        for split, share in ((Split.TEST, test), (Split.VALIDATION, validation))
    }
    room = np.maximum(counts - 1, 0)
    if sum(totals.values()) > room.sum():
        raise RequestError(
            f"data.test {test:g} and data.validation {validation:g} ask for {sum(totals.values())} of {len(pool)} "
            f"images, but each of {np.count_nonzero(counts)} classes must keep one for training; ask for less"
        )
    by_class: list[list[int]] = [[] for _ in counts]
    for index in sorted(pool.tolist(), key=lambda index: _draw(seed, names[index])):
        by_class[labels[index]].append(index)
    codes = np.where(given == UNSPLIT, Split.TRAIN, given).astype(np.int8)
    for split, total in totals.items():
        parts = _apportion(total, counts, room)
        room -= parts
        for members, part in zip(by_class, parts, strict=True):
            codes[members[:part]] = split
            del members[:part]
    return codes


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def _count(share: float, size: int, key: str) -> int:
    if share >= 1 and share != int(share):
        raise RequestError(f"{key}: {share:g} is neither a fraction below 1 nor a whole number of images")
    if share >= 1 or share == 0 or size == 0:
        return int(share)
    return max(1, round(share * size))


def _apportion(total: int, counts: NDArray[np.int64], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divides `total` in proportion to `counts`, no part above its `room`, by largest remainder."""
    quotas = total * counts / max(1, counts.sum())
    parts: NDArray[np.int64] = np.minimum(np.floor(quotas).astype(np.int64), room)
    while (left := total - int(parts.sum())) > 0:
        # Ties go to the earlier class.
        wanting = sorted(np.flatnonzero(parts < room), key=lambda label: parts[label] - quotas[label])
        parts[wanting[:left]] += 1
    return parts
