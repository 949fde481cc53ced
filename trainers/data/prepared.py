"""A pack and which of its samples are for what."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainers.data.listing import Split
from trainers.data.pack import Pack
from trainers.data.splits import assign
from trainers.experiment import Data


@dataclass(frozen=True, eq=False)
class Splits:
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
    splits: Splits

    def counts(self) -> list[tuple[str, list[int]]]:
        """How many samples each split has per class, in the order of the classes."""
        rows = []
        for name, indices in self.splits.items():
            count = Counter(self.pack.labels[indices].tolist())
            rows.append((name, [count[label] for label in range(max(1, len(self.pack.classes)))]))
        return rows


def splits_of(pack: Pack, data: Data, seed: int) -> Splits:
    """The splits that the source gives, or that the seed makes where it gives none.

    Raises:
        RequestError: the shares asked for leave too little for training.
    """
    codes = assign(pack.names, pack.labels, pack.given, validation=data.validation, test=data.test, seed=seed)
    return Splits(*(np.flatnonzero(codes == split) for split in (Split.TRAIN, Split.VALIDATION, Split.TEST)))
