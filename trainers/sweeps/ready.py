"""What the trials of a sweep need, tried and made ready before the first begins."""

import time
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from trainers.data import Prepared
from trainers.display import Display, Silent
from trainers.engine.extraction import why_not
from trainers.engine.features import compute_features, open_features
from trainers.errors import RequestError
from trainers.experiment import Distribution, Experiment, Search
from trainers.models import Size
from trainers.runs import plan
from trainers.search import with_options


class Ready:
    """Data in its splits and the network's size, for any trial; made once for all that share them."""

    def __init__(self, storage: Path, display: Display) -> None:
        self._storage, self._display = storage, display
        self._plans: dict[str, Prepared] = {}
        self._sizes: dict[str, Size] = {}

    def data(self, experiment: Experiment) -> Prepared:
        """The trial's data; raises RequestError: as `plan.prepare_data`."""
        what = f"{experiment.seed} {experiment.data.model_dump_json(exclude={'augment', 'normalise'})}"
        if what not in self._plans:
            self._plans[what] = plan.prepare_data(experiment, self._storage, self._display)
        plan.check_batch(experiment, self._plans[what])
        return self._plans[what]

    def size(self, experiment: Experiment) -> Size:
        """How large the trial's network is; raises RequestError: as `plan.check_model`."""
        pack = self.data(experiment).pack
        what = f"{pack.key} {experiment.model.model_dump_json()}"
        if what not in self._sizes:
            self._sizes[what] = plan.check_model(experiment, pack, self._storage)
        return self._sizes[what]

    def hush(self) -> None:
        """From here on prints nothing: what is made ready from now on, is so while trials run."""
        self._display = Silent()


def trial_experiment(experiment: Experiment, options: Mapping[str, Any]) -> Experiment:
    """What a trial is to train. Values that do not go together are left so: the trial fails by itself and says why."""
    try:
        return with_options(experiment, dict(options))
    except RequestError:
        alone = experiment.model_copy(update={"search": Search()})
        for path, value in options.items():
            *sections, name = path.split(".")
            alone = _replaced(alone, sections, name, value)
        return alone


def check_space(experiment: Experiment, ready: Ready) -> None:
    """Tries each value that is listed in the space, and both ends of each range, with the data and the network.

    Raises RequestError: something that a trial would stumble over.
    """
    for path, values in experiment.search.space.items():
        for value in extremes(values):
            ready.size(trial_experiment(experiment, {path: value}))


def extremes(values: Distribution) -> list[Any]:
    """The values of a choice or grid, the ends of a range."""
    return list(values.choice or values.grid or values.uniform or values.loguniform or values.randint or ())


def share_features(experiment: Experiment, data: Prepared, storage: Path, display: Display) -> Path | None:
    """What the frozen layers make of each sample, computed once for all trials; None where it cannot be shared."""
    model = experiment.model
    if model.train != "head" and not model.freeze and not model.freeze_groups:
        return None
    why = _searched(experiment) or why_not(experiment)
    if why is None:
        started = time.perf_counter()
        gpu = experiment.scale.device != "cpu" and torch.cuda.is_available()
        device = torch.device("cuda" if gpu else "cpu")
        folder = compute_features(experiment, data.pack, storage, device, display.packing)
        if folder is not None:
            numbers, seconds = prod(open_features(folder).shape[1:]), time.perf_counter() - started
            display.say(f"features    {numbers:,} numbers per sample, computed once ({seconds:.1f} s)")
            return folder
        why = f"{model.name} cannot be divided into what is frozen and what is trained"
    display.say(f"features    not shared: {why}")
    return None


def _searched(experiment: Experiment) -> str | None:
    """A searched option on which the features depend."""
    for path in experiment.search.space:
        if path.startswith(("data.", "model.")) or path in ("seed", "training.precision"):
            return f"{path} is searched"
    return None


def _replaced(section: Any, below: list[str], name: str, value: object) -> Any:
    """A section with another value of one option, unchecked."""
    if not below:
        return section.model_copy(update={name: value})
    inner = _replaced(getattr(section, below[0]), below[1:], name, value)
    return section.model_copy(update={below[0]: inner})
