"""What a source gives that holds its samples all at once, in a few files or made here, and not as a file for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.data.files import Entry


@dataclass(frozen=True, eq=False)
class Arrays:
    """All samples of a source.

    Attributes:
        names: of the samples, unique, [N].
        inputs: images, bytes [N, H, W, 1 or 3] of any size, or vectors, floats [N, D].
        labels: class numbers [N]; 0 where values are predicted.
        given: `Split` codes [N] that the source gives, UNSPLIT where it leaves them to the seed.
        values: what is predicted, [N, T], where that is not a class.
    """

    names: list[str]
    inputs: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]
    given: NDArray[np.int8]
    values: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Bulk:
    """A source of this kind, as yet unread.

    Attributes:
        classes: class names, by number; none where values are predicted.
        stamp: anything of JSON's types that changes whenever what is loaded does.
        load: reads or makes the samples; called only when they are packed. Raises RequestError for damaged files.
        place: what the user called it, for messages.
    """

    classes: tuple[str, ...]
    stamp: object
    load: Callable[[], Arrays]
    place: str


def stamp_of(entries: Sequence[Entry]) -> object:
    """A stamp that changes with any of these files."""
    return [[entry.name, entry.size, entry.stamp] for entry in entries]
