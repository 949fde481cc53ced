"""A sweep in words: a line for each trial, the table below them on a terminal, why all have failed."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from trainers.display import Standing
from trainers.experiment import Experiment, Search
from trainers.search import metric
from trainers.sweeps.trials import Trial

COLUMNS = ("trial", "options", "epoch")


def in_words(value: Any) -> str:
    """A value of a searched option."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def written(options: Mapping[str, Any]) -> str:
    """Searched options and their values."""
    return "  ".join(f"{path} {in_words(value)}" for path, value in options.items())


def describe_search(search: Search, trials: int, concurrent: int, metric_name: str) -> str:
    """What is searched, and how."""
    how = search.scheduler if search.searcher == "random" else f"{search.searcher}, {search.scheduler}"
    limit = f", {search.minutes:g} min at most" if search.minutes else ""
    return (
        f"{trials} trials, {concurrent} at a time, of {', '.join(search.space)}; "
        f"{how}, by validation {metric_name}{limit}"
    )


def trial_line(trial: Trial, experiment: Experiment, *, place: str, best: bool) -> str:
    """What came of a trial.

    Args:
        place: how many trials have ended, of how many.
        best: it is the best until now.
    """
    parts = [f"trial {place}", f"#{trial.number}", written(trial.options)]
    if trial.state == "failed":
        return "  ".join([*parts, f"failed: {trial.cause}"])
    parts += [score_in_words(trial, experiment), epochs_in_words(trial)]
    if trial.history:
        last = trial.history[-1]
        parts += [f"micro-batch {last['micro_batch']:.0f}"] if "micro_batch" in last else []
        parts.append(f"{trial.rate:,.0f} samples/s")
    return "  ".join([part for part in parts if part] + ["best"] * best)


def score_in_words(trial: Trial, experiment: Experiment) -> str:
    """The searched metric at the trial's best epoch; empty before there is one."""
    name, _ = metric(experiment)
    if trial.best is None:
        return ""
    value = trial.best[f"validation/{name}"]
    return f"{name} {value:.4f}" if abs(value) >= 0.01 or not value else f"{name} {value:.2e}"


def epochs_in_words(trial: Trial) -> str:
    """How many epochs a trial had, and whether it was stopped then."""
    count = len(trial.history)
    return f"{count} epoch{'s' * (count != 1)}{', stopped' if trial.state == 'stopped' else ''}"


def standing(trials: Iterable[Trial], ranking: list[Trial], experiment: Experiment, total: int, left: str) -> Standing:
    """How the sweep stands.

    Args:
        ranking: those that have ended well, the best first.
        left: how much time is left, in words; empty where that is not known.
    """
    by_state: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        by_state[trial.state].append(trial)
    running = by_state["interrupted"]
    ended = sum(map(len, by_state.values())) - len(running)
    counts = [
        f"{ended} of {total} trials done", f"{len(running)} running", f"{len(by_state['stopped'])} stopped",
        f"{len(by_state['failed'])} failed",
    ]  # fmt: skip
    best = ranking[0] if ranking else None
    return Standing(
        counts=", ".join(counts) + (f"; about {left} left" if left else ""),
        best=f"best #{best.number}  {written(best.options)}  {score_in_words(best, experiment)}" if best else "",
        columns=(*COLUMNS, f"best {metric(experiment)[0]}"),
        running=tuple(
            (
                f"#{trial.number}",
                written(trial.options),
                _epoch(trial, trial.options.get("training.epochs", experiment.training.epochs)),
                score_in_words(trial, experiment).rpartition(" ")[2],
            )
            for trial in running
        ),
    )


def _epoch(trial: Trial, epochs: int) -> str:
    return f"{min(len(trial.history) + 1, epochs)}/{epochs}"


def time_left(elapsed: float, ended: int, remaining: int, minutes: float | None) -> str:
    """How long the rest will take if it goes on as until now, or until the time limit; empty where nothing is known.

    Args:
        elapsed: seconds since the first trial began.
        ended: trials since then.
    """
    estimates = [elapsed / ended * remaining] if ended else []
    estimates += [max(0.0, minutes * 60 - elapsed)] if minutes is not None else []
    return duration(min(estimates)) if estimates else ""


def duration(seconds: float) -> str:
    """A time to wait, roughly."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def causes(trials: Iterable[Trial]) -> list[str]:
    """Why trials have failed, the most frequent cause first; causes that differ in numbers alone are one."""
    kinds: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for trial in trials:
        kind = re.sub(r"\d[\d.,]*(e[-+]?\d+)?", "#", trial.cause)
        kinds[kind] += 1
        examples.setdefault(kind, trial.cause)
    return [f"{count:>5} ×  {examples[kind]}" for kind, count in kinds.most_common()]
