"""The record of a sweep: which trials began, with which options, and how they ended; a line for each piece of news."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainers.errors import RequestError
from trainers.events import Row
from trainers.experiment import Experiment
from trainers.search import best_row, score_of

FILE = "trials.jsonl"
State = Literal["interrupted", "finished", "stopped", "failed"]
ENDED_WELL = ("finished", "stopped")
ENDED = (*ENDED_WELL, "failed")


@dataclass
class Trial:
    """A trial of a sweep.

    Attributes:
        number: from 0.
        options: values of the searched options by their paths.
        state: how it ended; `interrupted` while it has not.
        cause: why it failed.
        history: its epochs' metrics in order.
        recorded: MLflow has all of it.
    """

    number: int
    options: dict[str, Any]
    state: State = "interrupted"
    cause: str = ""
    history: list[Row] = field(default_factory=list)
    recorded: bool = False

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, well or not."""
        return self.state != "interrupted"

    @property
    def best(self) -> Row | None:
        """The epoch whose weights were kept as the best; None before there is one."""
        return best_row(self.history)

    @property
    def seconds(self) -> float:
        """How long its epochs took."""
        return sum(row["seconds"] for row in self.history)

    @property
    def rate(self) -> float:
        """Training samples per second over all its epochs; 0 before there is one."""
        slowness = [1 / row["samples_per_second"] for row in self.history]
        return len(slowness) / sum(slowness) if slowness else 0.0


class Trials:
    """The trials of a sweep by their numbers; what happens to them is in `trials.jsonl` before it counts.

    A last line that was torn by a crash is taken off.

    Args:
        folder: of the sweep, which must be there before anything is added.

    Attributes:
        registered: what became of a trial that was registered, by its number.

    Raises RequestError: the record is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._begun: dict[int, Trial] = {}
        self.registered: dict[int, dict[str, Any]] = {}
        self._path = folder / FILE
        for number, line in enumerate(_whole_lines(self._path), start=1):
            try:
                self._take(json.loads(line))
            except (ValueError, LookupError, TypeError):
                raise RequestError(f"--resume: {self._path} is damaged in line {number}; start a new sweep") from None

    def __iter__(self) -> Iterator[Trial]:
        """Those that have begun, by number."""
        return iter([trial for _, trial in sorted(self._begun.items())])

    def __len__(self) -> int:
        return len(self._begun)

    def __getitem__(self, number: int) -> Trial:
        return self._begun[number]

    @property
    def ended(self) -> int:
        """How many have come to their end."""
        return sum(trial.ended for trial in self)

    def counts(self) -> dict[str, int]:
        """How many have ended, by how."""
        return {state: sum(trial.state == state for trial in self) for state in ENDED}

    def start(self, number: int, options: dict[str, Any]) -> Trial:
        """A trial begins, or goes on."""
        self._add(kind="started", trial=number, options=options)
        return self._begun[number]

    def end(self, trial: Trial, state: State, cause: str) -> None:
        """A trial has come to its end."""
        self._add(kind="ended", trial=trial.number, state=state, cause=cause, history=trial.history)

    def note_recorded(self, trial: Trial) -> None:
        """MLflow has all of a trial that has ended."""
        self._add(kind="recorded", trial=trial.number)

    def note_registered(self, trial: Trial, became: dict[str, Any]) -> None:
        """A trial's best weights were registered; `became` is what must be known of that."""
        self._add(kind="registered", trial=trial.number, became=became)

    def _add(self, **news: Any) -> None:
        line = json.dumps(news, ensure_ascii=False).encode() + b"\n"
        with self._path.open("ab", buffering=0) as file:  # one write: a killed process loses nothing that was added
            file.write(line)
        self._take(news)

    def _take(self, news: dict[str, Any]) -> None:
        number = int(news["trial"])
        if news["kind"] == "started":
            before = self._begun.get(number)
            self._begun[number] = Trial(number, news["options"], history=before.history if before else [])
            return
        trial = self._begun[number]
        if news["kind"] == "ended":
            trial.state, trial.cause, trial.history = news["state"], news["cause"], news["history"]
        elif news["kind"] == "recorded":
            trial.recorded = True
        else:
            self.registered[number] = news["became"]


def ranked(trials: Iterable[Trial], experiment: Experiment) -> list[Trial]:
    """Those that ended well after an epoch or more, the best by the searched metric at its best epoch first."""
    scores: dict[int, float] = {}
    worthy = []
    for trial in trials:
        score = None if trial.best is None else score_of(experiment, trial.best)
        if trial.state in ENDED_WELL and score is not None and score == score:  # not NaN
            scores[trial.number] = score
            worthy.append(trial)
    return sorted(worthy, key=lambda trial: (-scores[trial.number], trial.number))


def _whole_lines(path: Path) -> list[bytes]:
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return whole.splitlines()
