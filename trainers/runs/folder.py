"""The folder of a run or a sweep: its name, its lock, its saved experiment, its lasting copy on S3."""

import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trainers import config, tracking
from trainers.errors import RequestError
from trainers.experiment import Experiment, Storage
from trainers.storage import Mirror


@dataclass(frozen=True)
class Kind:
    """What a folder is of."""

    noun: str
    home: str  # the folder of the storage in which each has a folder of its own
    saved: str  # the file that holds its resolved experiment


RUN = Kind("run", "training", "experiment.yaml")


class RunFolder:
    """In which everything of a run, or of a sweep as a whole, lies: experiment, journal, checkpoints, pictures.

    With storage on S3 it is copied there in the background, but for the checkpoints, which the ranks bring there.

    Attributes:
        name: of the run, and of its folder.
        storage: the folder in which this machine works (`storage.local_folder`).
        path: of the folder, which need not be there yet.
        mirror: the folder with its copy on S3, if there is one.
        saved, layers: the files with the resolved experiment and with the model summary.
    """

    def __init__(self, name: str, options: Storage, storage: Path, kind: Kind = RUN) -> None:
        self.name, self.storage = name, storage
        self.path = storage / kind.home / name
        self.mirror = Mirror.of(options, storage, self.path)
        self.saved, self.layers = self.path / kind.saved, self.path / "layers.txt"

    @classmethod
    def of(cls, experiment: Experiment, storage: Path, kind: Kind = RUN, *, name: str | None = None) -> Self:
        """That of a run or sweep that goes on by its name, else a new one."""
        name = name or new_name(experiment, "" if kind is RUN else kind.noun)
        return cls(name, experiment.storage, storage, kind)

    @classmethod
    def find(cls, reference: str, experiment: Experiment, storage: Path, kind: Kind = RUN) -> Self:
        """That of an earlier run, by its name or its MLflow id; with storage on S3 it is fetched first.

        Args:
            experiment: of the present command: where it keeps things, and where it records.

        Raises:
            RequestError: there is none such, the message names the last ones; another process is recording it; or S3
                or MLflow cannot be asked.
        """
        home = Mirror.of(experiment.storage, storage, storage / kind.home)
        look = _find_there if home.url is not None else _find_here
        return cls(look(reference, experiment, home, kind), experiment.storage, storage, kind)

    @property
    def run_id(self) -> str | None:
        """Of the MLflow run; None before there is one."""
        return tracking.run_id_of(self.path)

    def require_free(self) -> None:
        """Raises RequestError if another process has its lock, which is that of its journal."""
        tracking.require_free(self.path)

    def keep(self, experiment: Experiment) -> None:
        """Saves the resolved experiment, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        aside = self.saved.with_name(f".{self.saved.name}.new")
        aside.write_text(config.dump_yaml(experiment))
        aside.replace(self.saved)

    def shown(self, name: str) -> str:
        """Where a file of it is kept: its s3:// address, or its path as seen from here."""
        return self.mirror.shown(name) if self.mirror.url is not None else str(near(self.path / name))


def new_name(experiment: Experiment, kind: str = "") -> str:
    """A name that no other run has: job, kind if any, date, time, and four digits against two in one second."""
    job = f"{experiment.name}-{kind}" if kind else experiment.name
    return f"{job}-{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def near(path: Path) -> Path:
    """The path as seen from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _find_here(reference: str, experiment: Experiment, home: Mirror, kind: Kind) -> str:
    known = sorted(home.folder.glob(f"*/{kind.saved}"), key=lambda path: path.stat().st_mtime)
    for path in known:
        if reference in (path.parent.name, tracking.run_id_of(path.parent)):
            return path.parent.name
    raise _unknown(reference, home.folder, kind, [path.parent.name for path in known])


def _find_there(reference: str, experiment: Experiment, home: Mirror, kind: Kind) -> str:
    """As `_find_here` on S3, from where everything of it is fetched, but for checkpoints."""
    names, name = home.folders(), reference
    if name not in names and re.fullmatch("[0-9a-f]{32}", reference):
        uri = tracking.tracking_uri(experiment.tracking.uri, home.folder.parent)
        name = tracking.run_name(uri, reference) or reference
    folder = RunFolder(name, experiment.storage, home.folder.parent, kind)
    if name in names:
        folder.require_free()
        home.pull(f"{name}/")
    if name not in names or not folder.saved.exists():
        raise _unknown(reference, home.url, kind, sorted(names, key=lambda known: known.split("-")[-3:]))
    return name


def _unknown(reference: str, place: object, kind: Kind, known: list[str]) -> RequestError:
    hint = f"the last are {', '.join(known[-3:])}" if known else "there are none"
    return RequestError(f"--resume: no {kind.noun} {reference} in {place}; {hint}")
