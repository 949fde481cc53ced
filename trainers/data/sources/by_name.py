"""What `data.source` names: its files, and what they hold, by its line in `trainers.catalogue`."""

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name

from trainers.catalogue import SOURCES
from trainers.data.bulk import Bulk
from trainers.data.files import Files, require_images
from trainers.data.listing import SPLIT_FOLDERS, Listing, Progress
from trainers.data.local_files import open_local
from trainers.data.sources.download import ensure
from trainers.experiment import Data


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
    function: Callable[..., Listing | Bulk] = resolve_name(source.function)
    if source.at == "here":
        return function(storage, progress)
    files = (_published if source.at == "download" else _images)(data, storage, progress)
    return function(files, data.pattern) if source.pattern else function(files)


def channels_of(data: Data) -> int:
    """How many numbers make a pixel: 3 for RGB, 1 for grey."""
    grey = SOURCES[data.source].grey if data.channels == "auto" else data.channels == "grey"
    return 1 if grey else 3


def open_tree(path: str, downloads: Path, progress: Progress | None = None) -> Files:
    """List a folder, a .zip file, an s3:// prefix or an s3://….zip object, of which a copy is kept in `downloads`.

    Raises RequestError if there is nothing, or it may not be read.
    """
    if path.startswith("s3://"):
        from trainers.data.s3_files import open_s3  # boto3 is not imported where there is no S3

        return open_s3(path, downloads, progress)
    return open_local(Path(path).expanduser(), path)


def open_files(path: str, downloads: Path, progress: Progress | None = None) -> Files:
    """Like `open_tree`, for what must hold images; RequestError if it holds none."""
    return require_images(open_tree(path, downloads, progress))


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
