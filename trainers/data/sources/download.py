"""Published data sets fetched into the storage: where they come from, and what to do without a network.

    storage/data/NAME/       what the archives give, unpacked, as torchvision has it
    storage/data/NAME.part   a download under way; what is finished is moved into NAME, the rest removed

Whoever has no network puts the same files into the folder by hand, packed or not.
"""

import logging
import shutil
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

from trainers.data.disk import locked, require_space, write_download, writing
from trainers.data.listing import Progress
from trainers.data.sources.mnist import IDX_FILES
from trainers.errors import RequestError

log = logging.getLogger("trainers")

_TIMEOUT = 30  # seconds without an answer or a byte
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """A published file.

    Attributes:
        urls: mirrors, tried in order; each ends with the file's name.
        md5: of its content.
        gives: the name of what lies in the folder once it is there and unpacked, and others that do as well.
    """

    urls: tuple[str, ...]
    md5: str
    gives: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.urls[0].rpartition("/")[2]


def _idx(mirrors: tuple[str, ...], *sums: str) -> tuple[Archive, ...]:
    return tuple(
        Archive(tuple(f"{mirror}{name}.gz" for mirror in mirrors), md5, (f"{name}.gz", name))
        for name, md5 in zip(IDX_FILES, sums, strict=True)
    )


def _pets(name: str, md5: str) -> Archive:
    return Archive((f"https://www.robots.ox.ac.uk/~vgg/data/pets/data/{name}.tar.gz",), md5, (name,))


# Addresses and sums as in torchvision.datasets (mnist.py, cifar.py, oxford_iiit_pet.py of 0.25), which is not asked for
# them: it takes a second to import, for what mostly is there already, and those of the pets are private.
ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "mnist": _idx(
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": _idx(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "cifar10": (
        Archive(
            ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
            "c58f30108f718f92721af3b95e74349a",
            ("cifar-10-batches-py", "cifar-10-batches-bin"),
        ),
    ),
    "oxford-pets": (
        _pets("images", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        _pets("annotations", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    ),
}


def ensure(source: str, folder: Path, *, download: bool, progress: Progress | None = None) -> None:
    """See to it that the files of `source` lie in `folder`: what is missing is unpacked there or, first, downloaded.

    Safe to call from several processes at once. What was put there by hand is not touched.

    Raises RequestError: something is missing and may not or cannot be downloaded, or it is damaged.
    """
    if not _missing(source, folder):
        return
    aside = folder.with_name(f"{folder.name}.part")
    with locked(folder.with_name(f"{folder.name}.lock")):
        try:
            for archive in _missing(source, folder):
                shutil.rmtree(aside, ignore_errors=True)
                with writing(aside):
                    aside.mkdir()
                    folder.mkdir(exist_ok=True)
                causes = _obtain(archive, folder, aside, download, progress)
                if causes:
                    raise RequestError(_advice(source, folder, causes))
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _missing(source: str, folder: Path) -> list[Archive]:
    return [one for one in ARCHIVES[source] if not any(any(folder.rglob(name)) for name in one.gives)]


def _obtain(archive: Archive, folder: Path, aside: Path, download: bool, progress: Progress | None) -> str:
    """Puts in place what the archive gives; returns why it could not, else an empty text."""
    from torchvision.datasets.utils import check_integrity, extract_archive

    file = folder / archive.name
    causes = []
    if not file.is_file():
        if not download:
            return "data.download is false"
        file = aside / archive.name
        for url in archive.urls:
            if cause := _fetch(url, file, progress):
                causes.append(f"{url}: {cause}")
            elif not check_integrity(file, archive.md5):
                causes.append(f"{url}: it is not the file that was published (MD5)")
            else:
                break
        else:
            return ", ".join(causes)
    elif not check_integrity(file, archive.md5):
        return f"{file} is in the way, which is not the file that was published (MD5)"
    with writing(folder):
        if archive.name not in archive.gives:
            extract_archive(file, aside / "unpacked")
            file = aside / "unpacked" / archive.gives[0]
        file.rename(folder / archive.gives[0])
    return ""


def _fetch(url: str, target: Path, progress: Progress | None) -> str:
    """Downloads a file; returns why it could not, else an empty text; RequestError if it cannot be written."""
    try:
        # Not torchvision's download_url, which waits for ever, tries http: after https: and draws a bar of its own.
        with urlopen(Request(url, headers={"User-Agent": "trainers"}), timeout=_TIMEOUT) as response:
            size = response.length or 0
            log.info("downloading %s (%.1f MB)", url, size / 1e6)
            require_space(target.parent, size)
            write_download(iter(lambda: response.read(_CHUNK), b""), size, target, progress)
    except (OSError, HTTPException) as error:
        return str(error).removeprefix("<urlopen error ").removesuffix(">") or type(error).__name__
    return ""


def _advice(source: str, folder: Path, cause: str) -> str:
    urls = " ".join(archive.urls[0] for archive in _missing(source, folder))
    return (
        f"data.path: {source} is not whole in {folder}, and cannot be downloaded: {cause}; put there the files of "
        f"{urls}, or set data.path to where they are"
    )
