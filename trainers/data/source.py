"""What `data.source` names: its files, and what they hold, by its line in `trainers.catalogue`."""

from pathlib import Path

from trainers.catalogue import SOURCES, load
from trainers.data.bulk import Bulk
from trainers.data.download import ensure
from trainers.data.files import Files, open_files, open_tree
from trainers.data.listing import SPLIT_FOLDERS, Item, Listing, Progress, Split
from trainers.experiment import Data

__all__ = ["Item", "Listing", "Split", "channels_of", "list_source"]


def list_source(data: Data, storage: Path, progress: Progress | None = None) -> Listing | Bulk:
    """List what `data` names, without decoding anything.

    The source's function is given its files: those at `data.path` or downloaded, without the folders that wrap them
    all; and `data.pattern` if it wants one. One whose samples are made here is given the storage folder and `progress`.

    Args:
        storage: local folder for what must be drawn or downloaded first.
        progress: told of drawing and downloading.

    Raises:
        RequestError: the path is missing, empty, not allowed, or not laid out as the source expects; or there is no
            path, and the data cannot be downloaded.
    """
    source = SOURCES[data.source]
    function = load(source.function)
    listed: Listing | Bulk
    if source.at == "here":
        listed = function(storage, progress)
    else:
        files = (_published if source.at == "download" else _images)(data, storage, progress)
        listed = function(files, data.pattern) if source.pattern else function(files)
    return listed


def channels_of(data: Data) -> int:
    """How many numbers make a pixel: 3 for RGB, 1 for grey."""
    if data.channels == "auto":
        return 1 if SOURCES[data.source].grey else 3
    return 1 if data.channels == "grey" else 3


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
