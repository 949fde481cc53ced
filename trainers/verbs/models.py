"""Finds the trained model that a command means."""

import re
from dataclasses import dataclass
from pathlib import Path

from trainers import tracking
from trainers.errors import RequestError
from trainers.experiment import Experiment


@dataclass(frozen=True)
class Found:
    """A trained model in a folder, and what it is called."""

    folder: Path
    reference: str
    name: str | None = None
    version: str | None = None

    @property
    def slug(self) -> str:
        """The reference as a file name."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.reference).strip("-")


def find_model(experiment: Experiment, storage: Path, reference: str | None) -> Found:
    """The model that `reference` names: a folder (of a checkpoint, or downloaded), or a registered version.

    Without a reference it is the champion of the job's registered model.

    Raises:
        RequestError: there is none.
    """
    if reference is not None and Path(reference).is_dir():
        return Found(Path(reference), reference)
    if reference is not None and "/" in reference and not reference.startswith("models:/"):
        raise RequestError(f"--from: no folder {reference}; give a folder, models:/NAME/VERSION or models:/NAME@ALIAS")
    uri = tracking.tracking_uri(experiment.tracking.uri, storage)
    version = tracking.find_version(uri, reference or experiment.registered_model)
    folder = tracking.fetch(uri, version, storage / "models")
    return Found(folder, f"models:/{version.name}/{version.version}", version.name, version.version)
