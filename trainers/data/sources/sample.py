"""The data set `sample`: cats and dogs drawn here, so that everything can be tried without a download.

Calibrated, as tests/bench/sample_difficulty.py measures: fur, background, pose and light come from the same
distributions for both classes, so a linear classifier on the pixels stays well under 75 %; shape tells the two apart,
so a small convolutional network passes 97 % within a few epochs.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random

from trainers.data.files import require_images
from trainers.data.listing import Listing, Progress
from trainers.data.local_files import open_local
from trainers.data.sources.dogs_vs_cats import list_dogs_vs_cats
from trainers.data.sources.sample_pictures import animal_picture
from trainers.errors import RequestError, WorkError

VERSION = "2"  # seeds every random draw; to be raised whenever the drawing changes
SPLITS = {"train": range(1000), "test": range(1000, 1200)}  # the numbers in the file names of each class
_MARKER = "sample.version"
_PER_PROCESS = 200  # images that are worth starting a process for


def list_sample(storage: Path, progress: Progress | None) -> Listing:
    """The drawings, drawn first if they are not there."""
    folder = storage / "data" / "sample"
    make_sample(folder, progress)
    return list_dogs_vs_cats(require_images(open_local(folder, str(folder))))


def make_sample(folder: Path, progress: Progress | None = None) -> None:
    """Draw the data set into `folder`, unless it is there already.

    Writes train/cat.0.jpg … cat.999.jpg and dog.0.jpg …, test/cat.1000.jpg … cat.1199.jpg and dog.1000.jpg …:
    RGB JPEGs of 96×96 pixels, written aside and renamed last. An image depends on its name and `VERSION` alone.
    `progress(done, total, what)` is called as images are finished.

    Raises RequestError if `folder` holds something that was not drawn here, WorkError if it cannot be written.
    """
    if _is_drawn(folder):
        return
    try:
        _draw(folder, progress)
    except OSError as error:
        raise WorkError(
            f"{folder}: the sample could not be drawn there ({error}); see to the disk and try again"
        ) from error


def _draw(folder: Path, progress: Progress | None) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fresh = aside / "new"
        names = [f"{s}/{animal}.{n}.jpg" for s in SPLITS for n in SPLITS[s] for animal in ("cat", "dog")]
        for split in SPLITS:
            (fresh / split).mkdir(parents=True)
        try:
            _save_all(fresh, names, progress)
        except BrokenProcessPool:  # no room for processes, or the caller's script cannot be imported: alone, then
            _save_all(fresh, names, progress, alone=True)
        (fresh / _MARKER).write_text(VERSION)
        _move_into_place(fresh, folder, aside / "old")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _save_all(folder: Path, names: list[str], progress: Progress | None, *, alone: bool = False) -> None:
    save = partial(_save, folder, VERSION)
    processes = 1 if alone else min(os.cpu_count() or 1, 16, len(names) // _PER_PROCESS)
    with ExitStack() as stack:
        saved: Iterator[None] = map(save, names)
        if processes > 1:  # threads would not help: most of the work holds the interpreter's lock
            ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is this process's to handle
            pool = ProcessPoolExecutor(processes, get_context("spawn"), signal.signal, ignore)
            saved = stack.enter_context(pool).map(save, names, chunksize=25)
        for done, _ in enumerate(saved, start=1):
            if progress is not None:
                progress(done, len(names), "drawing the sample")


def _save(folder: Path, version: str, name: str) -> None:
    dice = Random(f"{version}/{name}")
    animal_picture(Path(name).name.split(".")[0], dice).save(folder / name, quality=dice.randint(72, 92))


def _is_drawn(folder: Path) -> bool:
    for _ in range(2):  # in between, another process may have put its own in the place of an older version
        with suppress(FileNotFoundError, NotADirectoryError):
            return (folder / _MARKER).read_text() == VERSION
        with suppress(FileNotFoundError, NotADirectoryError):
            if not any(folder.iterdir()):
                return False
        if not folder.exists():
            return False
    raise RequestError(f"{folder}: was not drawn by this program, so it is left alone; move it away and try again")


def _move_into_place(fresh: Path, folder: Path, old: Path) -> None:
    try:
        if folder.exists() and not _is_drawn(folder):  # an older version, or an empty folder
            with suppress(FileNotFoundError):  # another process has moved it away
                folder.rename(old)
        fresh.rename(folder)
    except OSError:
        if not _is_drawn(folder):  # else another process was first, with the same images
            raise
