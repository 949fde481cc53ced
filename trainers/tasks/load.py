"""A task's code by its name, as its line in `trainers.catalogue` says, and the trained model in a folder."""

from pathlib import Path
from pkgutil import resolve_name

import torch

from trainers.catalogue import TASKS
from trainers.experiment import Experiment
from trainers.tasks.bundle import load_module, read_description
from trainers.tasks.predictor import Predictor
from trainers.tasks.task import Task


def make_task(experiment: Experiment) -> Task:
    """The experiment's task, which has one network: adversarial is none."""
    task: type[Task] = resolve_name(f"{TASKS[experiment.task].module}:TASK")
    return task(experiment.loss, experiment.training.label_smoothing)


def predictor_class(task: str) -> type[Predictor]:
    """The class of a task's trained models."""
    found: type[Predictor] = resolve_name(f"{TASKS[task].module}:PREDICTOR")
    return found


def load_predictor(folder: Path, device: torch.device | None = None) -> Predictor:
    """The trained model in a folder, by default on the GPU if there is one.

    Raises RequestError: the folder holds none, or one of another version; and as `load_module`.
    """
    description = read_description(folder)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return predictor_class(description["task"])(load_module(folder, description), description, device)
