"""How the values of trials are chosen, one trial after the other."""

from collections.abc import Mapping
from typing import Protocol

from trainers.experiment import Experiment
from trainers.search.decades import Decades
from trainers.search.draw import Options, candidate
from trainers.search.tpe import Tpe

# Options and score of each trial by its number, more of it being better; None while it runs, -inf if it failed.
Results = Mapping[int, tuple[Options, float | None]]


class Strategy(Protocol):
    """Chooses the values of the next trial from what came of others."""

    def suggest(self, number: int, results: Results) -> Options | None:
        """The values of trial `number`; None while there is nothing to try until more trials have ended."""


class Draws:
    """Values drawn at random, which need no results."""

    def __init__(self, experiment: Experiment) -> None:
        self._space, self._seed = experiment.search.space, experiment.seed

    def suggest(self, number: int, results: Results) -> Options | None:
        """The values of trial `number`."""
        return candidate(self._space, self._seed, number)


def strategy_of(experiment: Experiment) -> Strategy:
    """What `search.searcher` names."""
    match experiment.search.searcher:
        case "random":
            return Draws(experiment)
        case "optuna":
            return Tpe(experiment.search.space, experiment.seed)
        case "decades":
            return Decades(experiment.search.space)
