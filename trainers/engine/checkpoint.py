"""Checkpoints: written aside, checksummed, renamed last; verified on load; a bad one is named and passed over.

With storage on S3, which checkpoints there are is what S3 says; the folder of this machine is its cache.

A checkpoint is also a trained model that can be used as it is (see `trainers.tasks.predictor`). It is not one of
torch.distributed.checkpoint, whose index is a pickle and which has no checksums.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file

from trainers.data.disk import locked, sync
from trainers.engine.uploads import MANIFEST, Uploads, name_of
from trainers.errors import WorkError
from trainers.events import Row
from trainers.experiment import Experiment
from trainers.storage import Mirror
from trainers.tasks.bundle import DESCRIPTION, WEIGHTS

FORMAT = 2
TRAINING = "training.pt"

log = logging.getLogger("trainers")


class Damaged(WorkError):
    """A checkpoint is not what its manifest says, or not there."""


@dataclass
class Checkpoint:
    """Everything that the rest of a run depends on: random numbers come from the seed and the place in the run."""

    epoch: int
    weights: Mapping[str, torch.Tensor]
    training: Mapping[str, Any]  # optimiser and schedule
    history: list[Row] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, whose validation metric was the best so far."""
        return max((int(row["epoch"]) for row in self.history if row["best"]), default=self.epoch)


class CheckpointStore:
    """A run's checkpoints: `epoch-0001`, `epoch-0002`, … in one folder, of which the last two and the best are kept.

    As a context, it brings at its end what was not uploaded yet to where it lasts.

    Args:
        folder: of the checkpoints; without a `url`, on storage that every node sees.
        description: of the model, as `trainers.tasks.describe` makes it.
        url: of the same folder on S3.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any], url: str | None = None) -> None:
        self.folder, self.description = folder, description
        self._warnings: list[str] = []
        self._uploads = Uploads(folder, url, self._warnings.append) if url is not None else None

    @classmethod
    def of(cls, options: Experiment, storage: Path, run: Path, description: Mapping[str, Any]) -> Self:
        """That of a run, by the run's folder and the storage folder of this machine."""
        folder = run / "checkpoints"
        return cls(folder, description, Mirror.of(options.storage, storage, folder).url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.finish()
        except WorkError as failure:
            if kind is None:
                raise
            log.warning("%s", failure)  # another error is on its way, or nobody listens any more

    def finish(self) -> None:
        """Waits until the checkpoints are where they last; raises WorkError: they cannot be brought there."""
        if self._uploads is not None:
            self._uploads.finish()

    def warnings(self) -> list[str]:
        """What has gone wrong, but not so that training could not go on, since this was last asked."""
        told = self._warnings[:]
        self._warnings.clear()
        return told

    def path(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch lies on this machine, if it does."""
        return self.folder / name_of(epoch)

    def place(self, epoch: int) -> str:
        """Where the checkpoint of an epoch lasts: a folder, or an s3:// address."""
        return str(self.path(epoch)) if self._uploads is None else f"{self._uploads.url}/{name_of(epoch)}"

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint so that it is either whole or not there, then removes those no longer needed."""
        final = self.path(checkpoint.epoch)
        aside = self.folder / f".{final.name}.{os.getpid()}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}, aside / WEIGHTS
        )
        torch.save(dict(checkpoint.training), aside / TRAINING)
        (aside / DESCRIPTION).write_text(json.dumps(self.description, indent=1, ensure_ascii=False))
        manifest = {
            "format": FORMAT,
            "epoch": checkpoint.epoch,
            "history": checkpoint.history,
            "files": {name: _checksum(aside / name) for name in (WEIGHTS, TRAINING, DESCRIPTION)},
        }
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for file in aside.iterdir():
            sync(file)
        if self._uploads is not None:
            self._uploads.wait()  # for what is read from this folder
        if final.exists():  # the run was set back to an earlier epoch
            shutil.rmtree(final)
        aside.rename(final)
        sync(self.folder)
        keep = {checkpoint.epoch, checkpoint.epoch - 1, checkpoint.best_epoch}
        for epoch in self._here():
            if epoch not in keep:
                shutil.rmtree(self.path(epoch), ignore_errors=True)
        if self._uploads is not None:
            self._uploads.begin(checkpoint.epoch, keep)
        return final

    def load(self, epoch: int) -> Checkpoint:
        """Reads and verifies the checkpoint of an epoch.

        Raises WorkError: it is missing or damaged, or S3 cannot be reached.
        """
        manifest, folder = self._sound(epoch), self.path(epoch)
        return Checkpoint(
            epoch=manifest["epoch"],
            weights=load_file(folder / WEIGHTS),
            training=torch.load(folder / TRAINING, map_location="cpu", weights_only=True),
            history=manifest["history"],
        )

    def fetch(self, epoch: int) -> Path:
        """The folder of this machine with the verified checkpoint of an epoch; raises as `load`."""
        self._sound(epoch)
        return self.path(epoch)

    def copy_to(self, folder: Path) -> None:
        """Copies all sound checkpoints into a new folder; raises WorkError if S3 cannot be reached."""
        folder.mkdir()
        for epoch in self.epochs():
            with suppress(Damaged):
                shutil.copytree(self.fetch(epoch), folder / name_of(epoch))

    def replace(self, folder: Path) -> None:
        """Takes those in a folder in the place of its own; raises WorkError if they cannot be brought to S3."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(folder, self.folder)
        if self._uploads is not None:
            self._uploads.replace(self._here())

    def latest(self) -> int:
        """The last epoch that has a sound checkpoint, or 0. Damaged ones are named in `warnings`.

        Raises WorkError: S3 cannot be reached.
        """
        for epoch in self.epochs():
            try:
                self._sound(epoch)
            except Damaged as damage:
                self._warnings.append(f"{damage}; the one before it is used")
            else:
                return epoch
        return 0

    def epochs(self) -> list[int]:
        """The epochs that have a checkpoint, last first; raises WorkError if S3 cannot be reached."""
        return sorted(self._here() if self._uploads is None else self._uploads.epochs(), reverse=True)

    def _here(self) -> list[int]:
        """The epochs that have a checkpoint on this machine."""
        return [int(path.name.removeprefix("epoch-")) for path in self.folder.glob("epoch-*")]

    def _sound(self, epoch: int) -> dict[str, Any]:
        """The manifest of a checkpoint that is whole on this machine, and the same as on S3 if that is its place."""
        folder, place = self.path(epoch), self.place(epoch)
        if self._uploads is None:
            return _verified(folder, place)
        content = self._uploads.manifest(epoch)
        if content is None:
            raise Damaged(f"checkpoint {place} is not there")
        with locked(self.folder / f".{folder.name}.lock"):  # other ranks on this machine may want it, too
            with suppress(OSError, Damaged):
                if (folder / MANIFEST).read_bytes() == content:
                    return _verified(folder, place)
            self._uploads.download(epoch, content)
            return _verified(folder, place)


def _verified(folder: Path, place: str) -> dict[str, Any]:
    """The manifest of a checkpoint whose files are as it says; `place` is what it is called."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise Damaged(f"checkpoint {place} has format {manifest['format']}, this version reads {FORMAT}")
        for name, checksum in manifest["files"].items():
            if _checksum(folder / name) != checksum:
                raise Damaged(f"checkpoint {place} is damaged: {name} is not as its manifest says")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"checkpoint {place} is damaged: {error}") from None
    return manifest


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
