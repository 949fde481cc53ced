"""The layout of Kaggle's competition Dogs vs. Cats (2013): the class stands in front of each file's name.

The label is the file name up to its first dot, if something follows between that and the suffix: cat.0.jpg is a cat,
cat.jpg and 1.jpg have no class. The images lie in train/, or beside one another without such a folder. Those in test/
(or test1/, as in the competition) whose class occurs in train become the test split; the competition's own test
images (1.jpg, 2.jpg, …) have no class. What has none, and what lies beside a train/, is left out with a warning.
"""

from trainers.data.files import Files
from trainers.data.listing import LabelledFile, Listing, Split, make_listing, warn_left_out

_LAYOUT = "train/CLASS.NUMBER.jpg, such as train/cat.0.jpg and train/dog.0.jpg"
_TEST = ("test", "test1")


def list_dogs_vs_cats(files: Files) -> Listing:
    """The labelled images of `files`; RequestError if there are fewer than two classes."""
    has_train = any(_folder(entry.name) == "train" for entry in files.entries)
    found, tests, left_out = [], [], []
    for entry in files.entries:
        folder, label = _folder(entry.name), _label(entry.name)
        if label is None or (has_train and folder not in ("train", *_TEST)):
            left_out.append(entry.name)
        elif folder in _TEST:
            tests.append(LabelledFile(entry, label, Split.TEST))
        else:
            found.append(LabelledFile(entry, label, None))
    known = {one.class_name for one in found}
    left_out += [one.entry.name for one in tests if one.class_name not in known]
    listing = make_listing(files, found + [one for one in tests if one.class_name in known], _LAYOUT)
    warn_left_out(files, sorted(left_out), f"their names do not say a class of train ({_LAYOUT})")
    return listing


def _folder(name: str) -> str:
    top, slash, _ = name.partition("/")
    return top.lower() if slash else ""


def _label(name: str) -> str | None:
    parts = name.rpartition("/")[2].split(".")
    return parts[0] if len(parts) > 2 else None
