"""Which trials are stopped early: Ray Tune's schedulers, told of the trials of earlier starts."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule, PopulationBasedTraining

from trainers.cluster.sweep import Sweep
from trainers.cluster.trial import EPOCH, SCORE, report_of
from trainers.experiment import Distribution
from trainers.search import draw, listed, rounded

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
            return _population(sweep, **common)
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


def _population(sweep: Sweep, **common: Any) -> PopulationBasedTraining:
    """Trials among the worst quarter go on with the weights of one of the best, and options a little different.

    Jaderberg et al. 2017, "Population Based Training of Neural Networks". Every `search.grace` epochs. Numbers grow or
    shrink by a fifth, whole ones and lists go one place on or back; one in four is drawn anew.
    """
    space, random = sweep.experiment.search.space, np.random.default_rng(sweep.experiment.seed)

    def mutation(distribution: Distribution) -> Any:
        if distribution.randint is not None:
            first, last = distribution.randint
            return list(range(first, last + 1))
        return listed(distribution) or partial(draw, distribution, random)

    def within(config: dict[str, Any]) -> dict[str, Any]:
        """What Ray has changed, in its range again."""
        options = config["options"]
        for path, distribution in space.items():
            if ends := distribution.uniform or distribution.loguniform:
                options[path] = rounded(options[path], *ends)
        return config

    return PopulationBasedTraining(
        **common,
        perturbation_interval=sweep.experiment.search.grace,
        hyperparam_mutations={"options": {path: mutation(distribution) for path, distribution in space.items()}},
        custom_explore_fn=within,
        log_config=False,
    )
