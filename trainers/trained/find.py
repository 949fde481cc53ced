"""Finds the trained model that a command means."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from trainers import tracking
from trainers.data.disk import locked, replacing
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.storage import S3
from trainers.tasks.bundle import DESCRIPTION, WEIGHTS


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
    """The model that `reference` names: a folder (of a checkpoint, or downloaded), also on S3, or a registered version.

    Without a reference it is the champion of the job's registered model.

    Raises RequestError: there is none.
    """
    if reference is not None and Path(reference).is_dir():
        return Found(Path(reference), reference)
    if reference is not None and reference.startswith(S3):
        return Found(_fetched(reference, storage / "models"), reference)
    if reference is not None and "/" in reference and not reference.startswith("models:/"):
        raise RequestError(
            f"--from: no folder {reference}; give a folder, also on S3, models:/NAME/VERSION or models:/NAME@ALIAS"
        )
    uri = tracking.tracking_uri(experiment.tracking.uri, storage)
    version = tracking.find_version(uri, reference or experiment.registered_model)
    folder = tracking.fetch(uri, version, storage / "models")
    return Found(folder, f"models:/{version.name}/{version.version}", version.name, version.version)


def _fetched(url: str, folder: Path) -> Path:
    """A trained model on S3 as a folder of its own in `folder`, fetched once, until it changes.

    Raises RequestError: there is none, or it cannot be had.
    """
    from trainers.storage.s3 import READ, Remote

    remote = Remote(url, "--from", RequestError, READ)
    found = [one for one in remote.objects() if one.name in (DESCRIPTION, WEIGHTS)]
    if len(found) != 2:
        raise RequestError(f"--from: {url} holds no trained model ({DESCRIPTION} and {WEIGHTS})")
    identity = " ".join([remote.client.meta.endpoint_url, url, *(one.etag for one in found)])
    target = folder / f"s3-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    with locked(target.with_suffix(".lock")):
        if not target.exists():
            with replacing(target) as aside:
                for one in found:
                    if not remote.download(one.name, aside / one.name):
                        raise RequestError(f"--from: {remote.url}/{one.name} was removed while it was fetched")
    return target
