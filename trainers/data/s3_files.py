"""Sources and single objects in S3, read as files are."""

import hashlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from trainers.data.decode import IMAGE_SUFFIXES, Unreadable
from trainers.data.disk import locked, require_space, write_download
from trainers.data.files import Entry, Files, sort_entries
from trainers.data.listing import Progress
from trainers.data.local_files import open_local
from trainers.errors import RequestError, WorkError
from trainers.storage.s3 import READ, THREADS, Remote


def open_s3(url: str, downloads: Path, progress: Progress | None = None) -> Files:
    """List the files below s3://bucket/prefix, or fetch s3://bucket/….zip and open that.

    Raises RequestError in one line for a wrong name, wrong or missing keys, or a host that cannot be reached.
    """
    if url.lower().endswith(".zip"):
        return open_local(fetch_object(url, downloads, "data.path", progress), url)
    listing = Remote(url, "data.path", RequestError, READ)
    images, others = sort_entries(Entry(found.name, found.size, found.etag) for found in listing.objects())
    reading = Remote(url, "data.path", WorkError, READ)
    return Files(url, images, others, lambda name: _read(reading, name), threads=THREADS)


def fetch_object(url: str, folder: Path, option: str, progress: Progress | None = None) -> Path:
    """An object as a file in `folder`, with the object's suffix; it is downloaded once, until it changes.

    `option` is what named it, for messages. Raises RequestError as `open_s3` does, or if it does not fit on the disk.
    """
    folder_url, _, name = url.rpartition("/")
    remote = Remote(folder_url, option, RequestError, READ)
    with remote.told(name):
        head = remote.client.head_object(**remote.key(name))
        identity = f"{remote.client.meta.endpoint_url} {remote.bucket}/{remote.prefix}{name} {head['ETag']}"
        identity += f" {head['ContentLength']}"
        target = folder / (hashlib.sha256(identity.encode()).hexdigest()[:16] + PurePosixPath(name).suffix)
        with locked(target.with_suffix(".lock")):
            if not target.exists():
                require_space(folder, head["ContentLength"])
                body = remote.client.get_object(**remote.key(name), IfMatch=head["ETag"])["Body"]
                write_download(body.iter_chunks(1 << 20), head["ContentLength"], target, progress)
    return target


def images_below(url: str) -> tuple[list[str], Callable[[str], bytes]]:
    """The addresses of the images below s3://bucket/prefix in the order of their names, or that of one image itself.

    Returns:
        Them, and what reads one by its address; it raises Unreadable for one that is not there, WorkError if the store
        cannot be reached or refuses us.

    Raises RequestError: the store cannot be reached, or refuses us.
    """
    folder = url.rstrip("/") + "/"
    if PurePosixPath(url).suffix.lower() in IMAGE_SUFFIXES:
        folder, _, name = url.rpartition("/")
        folder, names = f"{folder}/", [name]
    else:
        found = Remote(folder, "predict", RequestError, READ).objects()
        names = [image.name for image in sort_entries(Entry(one.name, one.size, one.etag) for one in found)[0]]
    reading = Remote(folder, "predict", WorkError, READ)
    return [folder + name for name in names], lambda address: _read(reading, address.removeprefix(folder))


def _read(remote: Remote, name: str) -> bytes:
    content = remote.read(name)
    if content is None:
        raise Unreadable("no longer there")
    return content
