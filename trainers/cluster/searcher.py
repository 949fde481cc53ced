"""Hands the sweep's trials to Ray Tune: those that were interrupted first, then new ones."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from trainers.cluster.sweep import Known, Sweep
from trainers.cluster.trial import SCORE, WORST, report_of
from trainers.search import Options, count, strategy_of


class Numbers(Searcher):
    """The trials that are still to be run, by number, each with its options."""

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(metric=SCORE, mode="max")
        self._strategy = strategy_of(sweep.experiment)
        self._results: dict[int, tuple[Options, float | None]] = {
            number: (known.options, known_score(sweep, known)) for number, known in sweep.known.items()
        }
        open_ones = [number for number, (_, score) in self._results.items() if score is None]
        new = [number for number in range(count(sweep.experiment.search)) if number not in self._results]
        self._waiting = deque(sorted(open_ones) + new)
        self._running: dict[str, int] = {}

    def __len__(self) -> int:
        """How many trials have not begun."""
        return len(self._waiting)

    def all(self) -> dict[int, Options]:
        """The options of all that have not begun by their numbers, where no trial's depend on what came of others."""
        suggested = iter(lambda: self.suggest(""), Searcher.FINISHED)
        return {trial["number"]: trial["options"] for trial in suggested}

    def suggest(self, trial_id: str) -> Any:
        """Number and options of the next trial; None while there is nothing to try until another has ended."""
        if not self._waiting:
            return Searcher.FINISHED
        number = self._waiting[0]
        options = self._results[number][0] if number in self._results else self._strategy.suggest(number, self._results)
        if options is None:
            return None if self._running else Searcher.FINISHED
        self._waiting.popleft()
        self._running[trial_id] = number
        self._results[number] = (options, None)
        return {"number": number, "options": options}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Notes a trial's score."""
        number = self._running.pop(trial_id)
        self._results[number] = (self._results[number][0], _score({} if error else result or {}))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what a sweep needs to go on is in its own record."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


def known_score(sweep: Sweep, known: Known) -> float | None:
    """The score of a trial of an earlier start; None where it is to go on, -inf where there is none."""
    if known.state == "interrupted":
        return None
    return _score(report_of(sweep, known.history) if known.history and known.state != "failed" else {})


def _score(report: Mapping[str, Any]) -> float:
    score = float(report.get(SCORE, WORST))
    return score if score > WORST else -math.inf
