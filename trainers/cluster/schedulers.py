"""Which trials are stopped early: Ray Tune's schedulers, told of the trials of earlier starts."""

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)

from trainers.cluster.known import Sweep
from trainers.cluster.trial import EPOCH, SCORE, report_of
from trainers.search import change_a_little

FOREVER: Any = math.inf


def scheduler_of(sweep: Sweep) -> Any:
    """What `search.scheduler` names, knowing what came of the trials that are not run again."""
    search = sweep.experiment.search
    scheduler: Any
    common: dict[str, Any] = {"time_attr": EPOCH, "metric": SCORE, "mode": "max"}
    match search.scheduler:
        case "none":
            return FIFOScheduler()
        case "pbt":
            return Population(sweep, **common)
        case "asha":
            scheduler = ASHAScheduler(
                **common,
                max_t=sweep.experiment.training.epochs,
                grace_period=search.grace,
                reduction_factor=search.reduction,
            )
        case "median":
            # A trial is never interrupted in favour of another that waits.
            scheduler = MedianStoppingRule(**common, grace_period=search.grace, min_time_slice=FOREVER)
    for number, known in sweep.known.items():
        if known.state != "interrupted":
            _remember(scheduler, sweep, number)
    return scheduler


@dataclass(frozen=True)
class _Past:
    """As much of a trial as the schedulers ask for."""

    trial_id: str


def _remember(scheduler: Any, sweep: Sweep, number: int) -> None:
    """Notes an ended trial's epochs: as those of one that is complete, which are kept and not judged."""
    past, history = _Past(f"known-{number}"), sweep.known[number].history
    for epochs in range(1, len(history) + 1):
        scheduler.on_trial_add(None, past)
        scheduler.on_trial_complete(None, past, report_of(sweep, history[:epochs]))


class Population(PopulationBasedTraining):
    """Trials among the worst quarter go on with the weights of one of the best, and options a little different.

    Jaderberg et al. 2017, "Population Based Training of Neural Networks". Every `search.grace` epochs.
    """

    def __init__(self, sweep: Sweep, **common: Any) -> None:
        super().__init__(
            **common,
            perturbation_interval=sweep.experiment.search.grace,
            custom_explore_fn=dict,  # one is asked for; what is drawn, is drawn below
            log_config=False,
        )
        self._sweep = sweep

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Takes a trial into the population; that a searcher numbers them does no harm."""
        nobody: Any = SimpleNamespace(search_alg=None)
        super().on_trial_add(nobody, trial)

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
        number, experiment = trial.config["number"], self._sweep.experiment
        epoch = int(trial.last_result.get(EPOCH, 0))
        options = change_a_little(
            experiment.search.space, trial_to_clone.config["options"], experiment.seed, number, epoch
        )
        return {"number": number, "options": options}, {}
