"""A run that goes on: which one it is, and what of its experiment may change."""

from trainers import config
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.runs.folder import RunFolder
from trainers.storage import check_storage

RESUMABLE = ("scale.", "log.", "storage.", "tracking.system_metrics")  # what may change when a run goes on


def find_run(reference: str, experiment: Experiment, flags: config.Tree) -> tuple[str, Experiment]:
    """An earlier run, by its name or its MLflow id: its name, and its experiment with those flags that may change.

    Raises RequestError: there is no such run, or a flag would make it another experiment.
    """
    found = RunFolder.find(reference, experiment, check_storage(experiment.storage))
    refuse_changes(flags, RESUMABLE, "run")
    return found.name, changed(found, experiment, flags)


def refuse_changes(flags: config.Tree, allowed: tuple[str, ...], kind: str) -> None:
    """Refuses flags that would make what goes on another one.

    Args:
        allowed: what may change: options, or sections with a dot at their end.

    Raises RequestError: for the first option that may not.
    """
    for name in config.flatten(flags):
        if not any(name.startswith(option) if option.endswith(".") else name == option for option in allowed):
            raise RequestError(f"{name}: cannot change when a {kind} goes on; start a new {kind} for that")


def changed(found: RunFolder, experiment: Experiment, flags: config.Tree) -> Experiment:
    """The experiment that is saved in a folder, with some flags, kept where the present command has found it."""
    return config.load(found.saved, flags).model_copy(update={"storage": experiment.storage})
