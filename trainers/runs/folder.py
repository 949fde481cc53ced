"""What runs and sweeps are called, where they lie, and how an earlier one is found again."""

import re
import secrets
import time
from pathlib import Path

from trainers import config, tracking
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.storage import Mirror


def new_name(experiment: Experiment, kind: str = "") -> str:
    """A name that no other run has: job, kind if any, date, time, and four digits against two in one second."""
    job = f"{experiment.name}-{kind}" if kind else experiment.name
    return f"{job}-{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def near(path: Path) -> Path:
    """The path as seen from here, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def place(folder: Mirror, name: str) -> str:
    """Where a file of a folder is kept: its s3:// address, or its path as seen from here."""
    return folder.shown(name) if folder.url is not None else str(near(folder.folder / name))


def find_earlier(reference: str, experiment: Experiment, home: Mirror, file: str, kind: str) -> Path:
    """The saved experiment `file` in the folder of an earlier run or sweep, by its name or its MLflow id.

    With storage on S3 everything of it is fetched first, but for checkpoints.

    Args:
        experiment: of the present command: where it records.
        home: the folder in which each has a folder of its own.
        kind: `run` or `sweep`, for the message.

    Raises:
        RequestError: there is none such, the message names the last ones; another process is recording it; or S3 or
            MLflow cannot be asked.
    """
    if home.url is not None:
        return _fetched(reference, experiment, home, file, kind)
    folder = home.folder
    known = sorted(folder.glob(f"*/{file}"), key=lambda path: path.stat().st_mtime)
    for path in known:
        if reference in (path.parent.name, tracking.run_id_of(path.parent)):
            return path
    raise _unknown(reference, folder, kind, [path.parent.name for path in known])


def _fetched(reference: str, experiment: Experiment, home: Mirror, file: str, kind: str) -> Path:
    names, name = home.folders(), reference
    if name not in names and re.fullmatch("[0-9a-f]{32}", reference):
        uri = tracking.tracking_uri(experiment.tracking.uri, home.folder.parent)
        name = tracking.run_name(uri, reference) or reference
    folder = home.folder / name
    if name in names:
        tracking.require_free(folder)
        home.pull(f"{name}/")
    if name not in names or not (folder / file).exists():
        raise _unknown(reference, home.url, kind, sorted(names, key=lambda known: known.split("-")[-3:]))
    return folder / file


def _unknown(reference: str, place: object, kind: str, known: list[str]) -> RequestError:
    hint = f"the last are {', '.join(known[-3:])}" if known else "there are none"
    return RequestError(f"--resume: no {kind} {reference} in {place}; {hint}")


def refuse_changes(flags: config.Tree, allowed: tuple[str, ...], kind: str) -> None:
    """Refuses flags that would make what goes on another one.

    Args:
        allowed: what may change: options, or sections with a dot at their end.

    Raises:
        RequestError: for the first option that may not.
    """
    for name in config.flatten(flags):
        if not any(name.startswith(option) if option.endswith(".") else name == option for option in allowed):
            raise RequestError(f"{name}: cannot change when a {kind} goes on; start a new {kind} for that")
