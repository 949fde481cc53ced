"""Optuna's tree-structured Parzen estimator."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trainers.experiment import Distribution
from trainers.search.draw import Options, listed, rounded

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

WORST = -1e30  # Optuna takes no infinite values; it compares them, so how bad is of no matter


class Tpe:
    """Values where trials that did well are dense and the others are not.

    Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization"; the first ten trials are drawn at random.
    """

    def __init__(self, space: Mapping[str, Distribution], seed: int) -> None:
        self._space, self._seed = dict(space), seed
        self._study: Study | None = None
        self._asked: dict[int, Trial] = {}
        self._told: set[int] = set()

    def suggest(self, number: int, results: Mapping[int, tuple[Options, float | None]]) -> Options | None:
        """The values of trial `number`, given what came of others, of which some may be from an earlier start."""
        distributions = {path: _convert(distribution) for path, distribution in self._space.items()}
        study = self._study = self._study or _new_study(self._seed + len(results))
        for other, (options, score) in results.items():
            if score is not None and other not in self._told:
                self._told.add(other)
                self._tell(study, other, options, score, distributions)
        self._asked[number] = asked = study.ask(distributions)
        return {path: self._value(path, value) for path, value in asked.params.items()}

    def _tell(
        self, study: "Study", number: int, options: Options, score: float, distributions: dict[str, "BaseDistribution"]
    ) -> None:
        from optuna.trial import create_trial

        score = score if math.isfinite(score) else WORST
        if number in self._asked:
            study.tell(self._asked.pop(number), score)
            return
        params = {path: self._place(path, value) for path, value in options.items()}
        study.add_trial(create_trial(params=params, distributions=distributions, value=score))

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


def _new_study(seed: int) -> "Study":
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # One that goes on must not draw what it has drawn before, so the seed depends on how much there is already.
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def _convert(distribution: Distribution) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if distribution.uniform is not None:
        return FloatDistribution(distribution.uniform[0], distribution.uniform[1])
    if distribution.loguniform is not None:
        return FloatDistribution(distribution.loguniform[0], distribution.loguniform[1], log=True)
    if distribution.randint is not None:
        return IntDistribution(distribution.randint[0], distribution.randint[1])
    return CategoricalDistribution(range(len(listed(distribution))))
