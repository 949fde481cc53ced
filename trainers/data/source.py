"""The table of sources. A new one is a file that lists what the experiment's data section names, and a line here."""

from collections.abc import Callable
from pathlib import Path

from trainers.data.dogs_vs_cats import list_dogs_vs_cats
from trainers.data.files import Files, open_files
from trainers.data.folder import list_folder
from trainers.data.listing import SPLIT_FOLDERS, Item, Listing, Progress, Split
from trainers.data.sample import draw
from trainers.experiment import Data

__all__ = ["SOURCES", "Item", "Listing", "Split", "list_source"]

Source = Callable[[Data, Path, Progress | None], Listing]


def list_source(data: Data, storage: Path, progress: Progress | None = None) -> Listing:
    """List what `data` names, without decoding anything.

    Args:
        storage: local folder for what must be drawn or downloaded first.
        progress: told of drawing and downloading.

    Raises:
        RequestError: the path is missing, empty, not allowed, or not laid out as the source expects.
    """
    return SOURCES[data.source](data, storage, progress)


def _sample(data: Data, storage: Path, progress: Progress | None) -> Listing:
    folder = storage / "data" / "sample"
    draw(folder, progress)
    return list_dogs_vs_cats(open_files(str(folder), storage / "downloads", progress))


def _at_path(list_files: Callable[[Files], Listing]) -> Source:
    def source(data: Data, storage: Path, progress: Progress | None) -> Listing:
        files = open_files(str(data.path), storage / "downloads", progress)
        return list_files(files.looked_through(SPLIT_FOLDERS))

    return source


SOURCES: dict[str, Source] = {
    "sample": _sample,
    "dogs-vs-cats": _at_path(list_dogs_vs_cats),
    "folder": _at_path(list_folder),
}
