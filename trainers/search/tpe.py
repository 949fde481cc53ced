"""Optuna's tree-structured Parzen estimator."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from trainers.experiment import Distribution
from trainers.search.draw import Options, listed, rounded

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


class Tpe:
    """Values where trials that did well are dense and the others are not.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; the first ten trials are drawn at random. What
    is suggested follows from the trial's number and the results alone, so that a sweep can go on where it was.
    """

    def __init__(self, space: Mapping[str, Distribution], seed: int) -> None:
        self._space, self._seed = space, seed

    def suggest(self, number: int, results: Mapping[int, tuple[Options, float | None]]) -> Options:
        """The values of trial `number`, given what came of others; those that run are not looked at."""
        import optuna
        from optuna.trial import create_trial

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        distributions = {path: _convert(distribution) for path, distribution in self._space.items()}
        for _, (options, score) in sorted(results.items()):
            if score is not None:
                params = {path: self._place(path, value) for path, value in options.items()}
                study.add_trial(create_trial(params=params, distributions=distributions, value=score))
        return {path: self._value(path, value) for path, value in study.ask(distributions).params.items()}

    def _value(self, path: str, value: Any) -> Any:
        """What Optuna says, as the option has it; of a list it is told the places, since values can be anything."""
        distribution = self._space[path]
        ends = distribution.uniform or distribution.loguniform
        if ends is not None:
            return rounded(value, *ends)
        values = listed(distribution)
        return values[value] if values else value

    def _place(self, path: str, value: Any) -> Any:
        values = listed(self._space[path])
        return values.index(value) if values else value


def _convert(distribution: Distribution) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if distribution.uniform is not None:
        return FloatDistribution(*distribution.uniform)
    if distribution.loguniform is not None:
        return FloatDistribution(*distribution.loguniform, log=True)
    if distribution.randint is not None:
        return IntDistribution(*distribution.randint)
    return CategoricalDistribution(range(len(listed(distribution))))
