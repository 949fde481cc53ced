"""The Oxford-IIIT Pet data set: images/BREED_NUMBER.jpg, and the official lists annotations/trainval.txt and test.txt.

(O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar, "Cats and Dogs", CVPR 2012.) A line of a list begins with an
image's name without its suffix; what else it says is not used, since the class stands in the name. Images of trainval
are split further by the seed, those of test are the test split, and those in neither list are left out.
"""

import logging

from trainers.data.files import Files, require_images
from trainers.data.listing import Listing, Split, make_listing, warn_left_out
from trainers.data.sources.file_names import found_by_pattern
from trainers.errors import RequestError

log = logging.getLogger("trainers")

BREED = r"^(.+)_\d+\.jpg$"
_LISTS: dict[str, Split | None] = {"annotations/trainval.txt": None, "annotations/test.txt": Split.TEST}
_LAYOUT = "images/BREED_NUMBER.jpg, such as images/Abyssinian_1.jpg and images/pug_1.jpg"


def list_oxford_pets(files: Files, pattern: str | None) -> Listing:
    """The images below images/, by the lists; `pattern` finds the class in a file's name, unset the breed.

    Raises RequestError: there are no images, no name has a class, or there are fewer than two classes.
    """
    files = require_images(files).looked_through(("images",))
    images = {entry.name: entry for entry in files.entries if entry.name.startswith("images/")}
    if not images:
        raise RequestError(f"data.path: {files.place} has no folder images/; expected is {_LAYOUT}")
    splits = _listed(files)
    if splits is None:
        log.warning("%s: there is no annotations/trainval.txt or test.txt; the seed makes all splits", files.place)
        splits = dict.fromkeys(images)
    if missing := [name for name in splits if name not in images]:
        log.warning("%s: %d listed images are missing; the first is %s", files.place, len(missing), missing[0])
    wanted = [(entry, splits[name]) for name, entry in images.items() if name in splits]
    listing = make_listing(files, found_by_pattern(files, wanted, pattern or BREED), _LAYOUT)
    warn_left_out(files, [name for name in images if name not in splits], "they stand in no list")
    return listing


def _listed(files: Files) -> dict[str, Split | None] | None:
    """The split of each listed image; None where there is no list."""
    present = {entry.name for entry in files.others}
    lists = {name: split for name, split in _LISTS.items() if name in present}
    if not lists:
        return None
    return {
        f"images/{line.split()[0]}.jpg": split
        for name, split in lists.items()
        for line in files.require(name).decode(errors="replace").splitlines()
        if line.strip() and not line.startswith("#")
    }
