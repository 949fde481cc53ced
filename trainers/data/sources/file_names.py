"""Any tree of images whose file names say their classes: `data.pattern` finds the class in a name.

With a folder train/ at the top there may be val/ (or valid/, validation/) and test/ beside it, and they are the splits.
"""

import re
from collections.abc import Iterable

from trainers.data.files import Entry, Files
from trainers.data.listing import SPLIT_FOLDERS, LabelledFile, Listing, Split, make_listing, warn_left_out
from trainers.errors import RequestError


def list_by_file_name(files: Files, pattern: str) -> Listing:
    """The images of `files` whose names match; RequestError if none does, or there are fewer than two classes."""
    tops = {entry: entry.name.partition("/")[0].lower() if "/" in entry.name else "" for entry in files.entries}
    has_train = "train" in tops.values()
    splits = SPLIT_FOLDERS if has_train else dict.fromkeys(tops.values())
    placed = [(entry, splits[top]) for entry, top in tops.items() if top in splits]
    listing = make_listing(
        files, found_by_pattern(files, placed, pattern), f"file names in which {pattern!r} finds a class"
    )
    warn_left_out(files, [entry.name for entry, top in tops.items() if top not in splits], "they lie beside train")
    return listing


def found_by_pattern(files: Files, entries: Iterable[tuple[Entry, Split | None]], pattern: str) -> list[LabelledFile]:
    """Those of `entries` in whose name, without its folders, the pattern's first group finds a class.

    The others are left out with a warning.

    Raises RequestError: it finds none at all.
    """
    found, left_out = [], []
    for entry, split in entries:
        match = re.search(pattern, entry.name.rpartition("/")[2])
        if match and match[1]:
            found.append(LabelledFile(entry, match[1], split))
        else:
            left_out.append(entry.name)
    if left_out and not found:
        raise RequestError(
            f"data.pattern: {pattern!r} finds a class in none of the {len(left_out)} file names of {files.place}, "
            f"such as {left_out[0].rpartition('/')[2]}; change the pattern"
        )
    warn_left_out(files, left_out, f"data.pattern {pattern!r} finds no class in their names")
    return found
