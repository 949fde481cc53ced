"""A run's checkpoints on S3: put there while training goes on, fetched by whichever machine goes on with it.

    storage.path/training/RUN/checkpoints/epoch-0001/      the files of a checkpoint, of which manifest.json comes last

A checkpoint without its manifest is not there.
"""

import json
import os
import platform
import re
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from trainers.errors import TrainersError, WorkError

MANIFEST = "manifest.json"


def name_of(epoch: int) -> str:
    """What the folder of an epoch's checkpoint is called."""
    return f"epoch-{epoch:04d}"


class Uploads:
    """The way of checkpoints between a folder of this machine and S3. Of a run's ranks, the first alone uploads.

    Args:
        folder: of the checkpoints, on this machine.
        url: of the same on S3.
        warn: is told what fails in the background.
    """

    def __init__(self, folder: Path, url: str, warn: Callable[[str], None]) -> None:
        from trainers.storage.s3 import Remote  # boto3 is not imported where there is no S3

        self.folder, self.url, self._warn = folder, url, warn
        self._remote = Remote(url, "storage.path")
        self._waiting: set[int] = set()  # epochs that are not there yet
        self._thread: threading.Thread | None = None
        self._error = ""

    def epochs(self) -> list[int]:
        """The epochs that have a checkpoint there; raises WorkError: S3 cannot be asked."""
        found = (re.fullmatch(rf"epoch-(\d+)/{MANIFEST}", one.name) for one in self._remote.objects())
        return [int(match[1]) for match in found if match]

    def manifest(self, epoch: int) -> bytes | None:
        """The manifest of a checkpoint; None if there is no such checkpoint.

        Raises WorkError: S3 cannot be asked.
        """
        return self._remote.read(f"{name_of(epoch)}/{MANIFEST}")

    def download(self, epoch: int, manifest: bytes) -> None:
        """Puts a checkpoint in the place of this machine's own, unverified: a file that is not there is left out.

        Raises WorkError: S3 cannot be reached, or this machine's folder not be written.
        """
        folder = self.folder / name_of(epoch)
        aside = self.folder / f".{folder.name}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            with self._remote.writing(folder):
                aside.mkdir(parents=True)
                (aside / MANIFEST).write_bytes(manifest)
                for name in _files_of(manifest):
                    if not self._remote.download(f"{folder.name}/{name}", aside / name):
                        (aside / name).unlink()
                shutil.rmtree(folder, ignore_errors=True)
                aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def begin(self, epoch: int, keep: Iterable[int]) -> None:
        """Uploads a checkpoint in the background, and removes those not to be kept; the one before has been waited for.

        What could not be uploaded before is tried again, if it is still to be kept. What fails is told in a warning.
        """
        kept = set(keep)
        self._waiting = (self._waiting & kept) | {epoch}
        self._thread = threading.Thread(target=self._upload, args=(kept,), name="checkpoint-upload", daemon=True)
        self._thread.start()

    def replace(self, epochs: Iterable[int]) -> None:
        """Uploads checkpoints in the place of all that are there; raises WorkError: they cannot be brought there."""
        kept = set(epochs)
        self._waiting = set(kept)
        self._upload(kept)
        if self._error:  # once more; while one of the others is left there, it may be taken for the latest
            self._upload(kept)
        if self._error:
            raise WorkError(self._error)

    def wait(self) -> None:
        """Waits until the background is done."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self._error:
                self._warn(f"{self._error}; the checkpoint is in {self.folder} and is uploaded later")

    def finish(self) -> None:
        """Waits until everything is there; raises WorkError: it cannot be brought there."""
        self.wait()
        if self._waiting:
            self._upload(None)
        if self._waiting:
            places = ", ".join(str(self.folder / name_of(epoch)) for epoch in sorted(self._waiting))
            raise WorkError(f"{self._error}; the weights are in {places} on {platform.node()} alone")

    def _upload(self, keep: set[int] | None) -> None:
        """All that is waiting; then what is not to be kept is removed. None: keep all."""
        try:
            there = [one.name for one in self._remote.objects()]
            for epoch in sorted(self._waiting):
                self._put(name_of(epoch), there)
                self._waiting.discard(epoch)
            kept = None if keep is None else {name_of(epoch) for epoch in keep}
            left = [name for name in there if kept is not None and name.partition("/")[0] not in kept]
            # The manifests first: what is half removed is not there.
            for manifests in (True, False):
                self._remote.delete(name for name in left if name.endswith(f"/{MANIFEST}") == manifests)
            self._error = ""
        except (TrainersError, OSError) as error:
            self._error = str(error)

    def _put(self, name: str, there: list[str]) -> None:
        manifest = self.folder / name / MANIFEST
        if f"{name}/{MANIFEST}" in there:  # the run was set back to an earlier epoch
            self._remote.delete([f"{name}/{MANIFEST}"])
        for file in _files_of(manifest.read_bytes()):
            self._remote.upload(f"{name}/{file}", self.folder / name / file)
        self._remote.upload(f"{name}/{MANIFEST}", manifest)


def _files_of(manifest: bytes) -> list[str]:
    """The files that a manifest names; none if it is damaged, as whoever verifies the checkpoint says."""
    try:
        files = json.loads(manifest)["files"]
    except (ValueError, KeyError, TypeError):
        return []
    return [name for name in files if "/" not in name]
