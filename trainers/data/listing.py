"""What a source finds: its classes and its images, each with a name, a class and perhaps a split; all undecoded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from trainers.data.files import Entry, Files
from trainers.errors import RequestError

log = logging.getLogger("trainers")

Progress = Callable[[int, int, str], None]  # (done, total, what), called often


class Split(IntEnum):
    """What a sample is for, by the codes that stand in packs."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2


UNSPLIT = -1  # among such codes: the source leaves it to the seed


# Folders of these names are splits, not classes. What lies in train is split further where the source does not.
SPLIT_FOLDERS: dict[str, Split | None] = {
    "train": None,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
}


@dataclass(frozen=True)
class Item:
    """One image: its name in the source, its label (a place in `Listing.classes`), its size in bytes and its stamp.

    `split` is None where the source leaves it to the seed.
    """

    name: str
    label: int
    split: Split | None
    size: int
    stamp: str


@dataclass(frozen=True)
class Listing:
    """What a source holds: class names in alphabetical order, images in the order of their names, and their files."""

    classes: tuple[str, ...]
    items: tuple[Item, ...]
    files: Files


@dataclass(frozen=True)
class LabelledFile:
    """An image and what its place or name says about it."""

    entry: Entry
    class_name: str
    split: Split | None


def make_listing(files: Files, found: Sequence[LabelledFile], layout: str) -> Listing:
    """Number the classes. `layout` says in a few words, with an example, what was expected.

    Raises RequestError for fewer than two classes, or a class that train lacks.
    """
    classes = tuple(sorted({one.class_name for one in found if one.split in (None, Split.TRAIN)}))
    if len(classes) < 2:
        seen = f"one class only, {classes[0]}" if classes else "no class"
        raise RequestError(f"data.path: {files.place} has {seen}, at least two are needed; expected is {layout}")
    labels = {name: label for label, name in enumerate(classes)}
    for one in found:
        if one.class_name not in labels:
            raise RequestError(
                f"data.path: {files.place}: class {one.class_name!r} ({one.entry.name}) is not among the classes of "
                f"train ({', '.join(classes)}); add it there or remove it"
            )
    items = (Item(one.entry.name, labels[one.class_name], one.split, one.entry.size, one.entry.stamp) for one in found)
    return Listing(classes, tuple(sorted(items, key=lambda item: item.name)), files)


def warn_left_out(files: Files, names: Sequence[str], why: str) -> None:
    """Say how many images cannot be used, if any."""
    if names:
        log.warning("%s: %d images are left out, since %s; the first is %s", files.place, len(names), why, names[0])
