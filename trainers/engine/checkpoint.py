"""Checkpoints: written aside, checksummed, renamed last; verified on load; a bad one is named and passed over.

A checkpoint is also a trained model that can be used as it is (see `trainers.tasks.predictor`).
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trainers.data.disk import sync
from trainers.errors import WorkError
from trainers.events import Row
from trainers.tasks.bundle import DESCRIPTION, WEIGHTS

FORMAT = 2
TRAINING = "training.pt"
MANIFEST = "manifest.json"

log = logging.getLogger("trainers")


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

    Args:
        folder: of the checkpoints, on storage that every node sees.
        description: of the model, as `trainers.tasks.describe` makes it.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        self.folder, self.description = folder, description

    def path(self, epoch: int) -> Path:
        """Where the checkpoint of an epoch lies."""
        return self.folder / f"epoch-{epoch:04d}"

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
        if final.exists():  # the run was set back to an earlier epoch
            shutil.rmtree(final)
        aside.rename(final)
        sync(self.folder)
        self._prune(checkpoint)
        return final

    def load(self, epoch: int) -> Checkpoint:
        """Reads and verifies the checkpoint of an epoch.

        Raises:
            WorkError: it is missing or damaged.
        """
        folder = self.path(epoch)
        manifest = _verified(folder)
        return Checkpoint(
            epoch=manifest["epoch"],
            weights=load_file(folder / WEIGHTS),
            training=torch.load(folder / TRAINING, map_location="cpu", weights_only=True),
            history=manifest["history"],
        )

    def latest(self) -> int:
        """The last epoch that has a sound checkpoint, or 0. Damaged ones are named in a warning."""
        for epoch in self.epochs():
            try:
                _verified(self.path(epoch))
            except WorkError as damage:
                log.warning("%s; the one before it is used", damage)
            else:
                return epoch
        return 0

    def epochs(self) -> Iterator[int]:
        """The epochs that have a checkpoint, last first."""
        yield from sorted((int(path.name.removeprefix("epoch-")) for path in self.folder.glob("epoch-*")), reverse=True)

    def _prune(self, newest: Checkpoint) -> None:
        keep = {newest.epoch, newest.epoch - 1, newest.best_epoch}
        for epoch in list(self.epochs()):
            if epoch not in keep:
                shutil.rmtree(self.path(epoch), ignore_errors=True)


def _verified(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose files are as it says."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        if manifest["format"] != FORMAT:
            raise WorkError(f"checkpoint {folder} has format {manifest['format']}, this version reads {FORMAT}")
        for name, checksum in manifest["files"].items():
            if _checksum(folder / name) != checksum:
                raise WorkError(f"checkpoint {folder} is damaged: {name} is not as its manifest says")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkError(f"checkpoint {folder} is damaged: {error}") from None
    return manifest


def _checksum(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
