"""One sub-folder per class, as torchvision's ImageFolder has it: cats/a.jpg, dogs/more/b.jpg.

With train/CLASS/… there may be val/ (or valid/, validation/) and test/ of the same shape, and they are the splits.
An image that lies in no class folder is left out with a warning.
"""

from trainers.data.files import Files
from trainers.data.listing import SPLIT_FOLDERS, LabelledFile, Listing, make_listing, warn_left_out

_LAYOUT = "one folder per class, such as cats/a.jpg and dogs/b.jpg, or train/cats/a.jpg and train/dogs/b.jpg"


def list_folder(files: Files) -> Listing:
    """The images of `files` by class folder; RequestError for fewer than two classes or one that train lacks."""
    paths = [(entry, entry.name.split("/")) for entry in files.entries]
    # A folder train/ with images directly in it is a class of trains.
    has_train = any(path[0].lower() == "train" and len(path) > 2 for _, path in paths)
    found, left_out = [], []
    for entry, path in paths:
        if has_train:
            top = path.pop(0).lower()
            usable = top in SPLIT_FOLDERS and len(path) > 1
            split = SPLIT_FOLDERS.get(top)
        else:
            usable, split = len(path) > 1, None
        if usable:
            found.append(LabelledFile(entry, path[0], split))
        else:
            left_out.append(entry.name)
    listing = make_listing(files, found, _LAYOUT)
    warn_left_out(files, left_out, "they lie in no class folder")
    return listing
