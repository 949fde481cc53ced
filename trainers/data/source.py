"""The table of sources. A new one is a file that lists what the experiment's data section names, and a line here."""

from collections.abc import Callable
from pathlib import Path

from trainers.data.bulk import Bulk
from trainers.data.cifar10 import list_cifar10
from trainers.data.curve import curve
from trainers.data.dogs_vs_cats import list_dogs_vs_cats
from trainers.data.download import ensure
from trainers.data.files import Files, open_files, open_tree
from trainers.data.folder import list_folder
from trainers.data.listing import SPLIT_FOLDERS, Item, Listing, Progress, Split
from trainers.data.mnist import list_fashion_mnist, list_mnist
from trainers.data.names import list_names
from trainers.data.oxford_pets import list_oxford_pets
from trainers.data.sample import draw
from trainers.data.spiral import spiral
from trainers.experiment import Data

__all__ = ["SOURCES", "Item", "Listing", "Split", "channels_of", "list_source"]

Source = Callable[[Data, Path, Progress | None], Listing | Bulk]


def list_source(data: Data, storage: Path, progress: Progress | None = None) -> Listing | Bulk:
    """List what `data` names, without decoding anything.

    Args:
        storage: local folder for what must be drawn or downloaded first.
        progress: told of drawing and downloading.

    Raises:
        RequestError: the path is missing, empty, not allowed, or not laid out as the source expects; or there is no
            path, and the data cannot be downloaded.
    """
    return SOURCES[data.source](data, storage, progress)


def channels_of(data: Data) -> int:
    """How many numbers make a pixel: 3 for RGB, 1 for grey."""
    if data.channels == "auto":
        return 1 if data.source in ("mnist", "fashion-mnist") else 3
    return 1 if data.channels == "grey" else 3


def _sample(data: Data, storage: Path, progress: Progress | None) -> Listing:
    folder = storage / "data" / "sample"
    draw(folder, progress)
    return list_dogs_vs_cats(open_files(str(folder), storage / "downloads", progress))


def _images(data: Data, storage: Path, progress: Progress | None) -> Files:
    """The images at `data.path`."""
    return open_files(str(data.path), storage / "downloads", progress).looked_through(SPLIT_FOLDERS)


def _published(data: Data, storage: Path, progress: Progress | None) -> Files:
    """The files at `data.path`; unset, those that were downloaded or put where downloads go."""
    path = data.path
    if path is None:
        folder = storage / "data" / data.source
        ensure(data.source, folder, download=data.download, progress=progress)
        path = str(folder)
    return open_tree(path, storage / "downloads", progress)


SOURCES: dict[str, Source] = {
    "sample": _sample,
    "dogs-vs-cats": lambda *at: list_dogs_vs_cats(_images(*at)),
    "folder": lambda *at: list_folder(_images(*at)),
    "names": lambda data, *at: list_names(_images(data, *at), str(data.pattern)),
    "mnist": lambda *at: list_mnist(_published(*at)),
    "fashion-mnist": lambda *at: list_fashion_mnist(_published(*at)),
    "cifar10": lambda *at: list_cifar10(_published(*at)),
    "oxford-pets": lambda data, *at: list_oxford_pets(_published(data, *at), data.pattern),
    "spiral": lambda *_: spiral(),
    "curve": lambda *_: curve(),
}
