"""A sweep in progress, as the driver sees it: a run for each trial, and what all of them come to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from trainers import events
from trainers.display import Display, Silent
from trainers.errors import RequestError, TrainersError
from trainers.experiment import Experiment
from trainers.runs.folder import RunFolder
from trainers.runs.record import SEND_SECONDS
from trainers.runs.run import Run
from trainers.runs.train import preload_end
from trainers.search import metric
from trainers.summary import Summary
from trainers.sweeps.ready import Ready, trial_experiment
from trainers.sweeps.trials import Trial, Trials, ranked
from trainers.sweeps.words import in_words, standing, time_left, trial_line
from trainers.tracking import Recorder, Status

# The rest of a trial's news is for eyes on one run.
HEARD = (events.Restored, events.FirstStep, events.Unfrozen, events.MicroBatch, events.EpochDone)


@dataclass
class SweepRun:
    """One sweep from its first trial to its last.

    Each trial is a run with an MLflow run of its own, a child of the sweep's. Nothing here waits for MLflow, but for
    the moment in which a trial's record is opened; a trial whose record could not be kept is recorded at the end.

    Args:
        total: how many trials there are to be.
        workers: of each trial.
        ready: data and networks.
        parent: the record of the sweep as a whole.
        classifier: that measures a GAN's samples.
    """

    folder: RunFolder
    experiment: Experiment
    display: Display
    total: int
    workers: int
    ready: Ready
    trials: Trials
    parent: Recorder
    classifier: Path | None = None
    first_step: float | None = None  # in seconds since 1970
    _running: dict[int, Run] = field(default_factory=dict)
    _closing: list[threading.Thread] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _ended: int = 0  # since then
    _warned: bool = False

    @property
    def ranking(self) -> list[Trial]:
        """Those that have ended well, the best first."""
        return ranked(self.trials, self.experiment)

    def hear(self, event: events.SweepEvent) -> None:
        """Takes one piece of news."""
        if isinstance(event, events.TrialStarted):
            self._begin(self.trials.start(event.number, event.options))
        elif isinstance(event, events.TrialTold):
            self._told(event.number, event.event)
        elif isinstance(event, events.TrialEnded):
            self._end(event)
        self._show()

    def folder_of(self, trial: Trial) -> RunFolder:
        """A trial's own folder."""
        name = f"{self.folder.name}-{trial.number:03d}"
        return RunFolder(name, self.experiment.storage, self.folder.storage)

    def run_of(self, trial: Trial, display: Display | None = None, summary: Summary | None = None) -> Run:
        """A trial as a run, by default one that prints nothing."""
        folder = self.folder_of(trial)
        run = Run(
            folder,
            trial_experiment(self.experiment, trial.options),
            display or Silent(),
            summary or Summary(),
            resumed=folder.saved.exists(),
            rows={int(row["epoch"]): row for row in trial.history},
            classifier=self.classifier,
            of_sweep=True,
        )
        run.record.tags = {
            "mlflow.parentRunId": self.parent.run_id,
            "sweep": self.folder.name,
            "trial": str(trial.number),
            "trial.state": trial.state if trial.ended else "running",
        }
        try:
            run.begin(self.ready.data(run.experiment), self.ready.size(run.experiment), self.workers)
        except TrainersError:
            run.keep_experiment()  # the trial itself says what is wrong
        return run

    def record_rest(self) -> None:
        """Waits until what can be recorded is; then records trials of which MLflow has not got all."""
        self._await_closing()
        for trial in self.trials:
            if not trial.ended or trial.recorded:
                continue
            run = self.run_of(trial)
            missing = trial.history if run.folder.run_id is None else []  # else they wait in its journal
            run.record.open()
            try:
                for row in missing:
                    run.record.log(row)
            except RequestError as error:  # so it will be for the others
                self._warn(error)
                return
            self._close_run(run, trial)
        self._await_closing()

    def abort(self, status: Status) -> None:
        """Ends all records with a status; the trials that ran are taken as interrupted."""
        for run in self._running.values():
            run.summary.status = status
            self._in_background(partial(_close, run, {"trial.state": "interrupted"}))
        self._running.clear()
        self._await_closing()
        self.parent.finish(status, wait_s=SEND_SECONDS)
        self.folder.mirror.settle()

    def _begin(self, trial: Trial) -> None:
        if running := self._running.get(trial.number):  # pbt: it goes on with what another has learnt
            with self._away_is_told():
                running.change({path: in_words(value) for path, value in trial.options.items()})
            return
        run = self.run_of(trial)
        run.record.open()
        self._running[trial.number] = run
        self.folder.mirror.push_soon()

    def _told(self, number: int, event: events.Event) -> None:
        if isinstance(event, events.Warned):
            self.display.warn(f"trial {number}: {event.message}")
        if isinstance(event, events.FirstStep) and self.first_step is None:
            self.first_step = event.at
            threading.Thread(target=preload_end, name="preload", daemon=True).start()
        if not isinstance(event, HEARD):
            return
        run = self._running[number]
        with self._away_is_told():
            run.hear(event)
        self.trials[number].history = run.history

    def _end(self, event: events.TrialEnded) -> None:
        trial = self.trials[event.number]
        self.trials.end(trial, event.state, event.cause)
        self._ended += 1
        self._close_run(self._running.pop(event.number), trial)
        ranking, done = self.ranking, self.trials.ended
        best = bool(ranking) and ranking[0] is trial
        tell = self.display.result if trial.state == "failed" else self.display.say
        tell(trial_line(trial, self.experiment, place=f"{done}/{self.total}", best=best))
        self.parent.log({f"trials/{state}": count for state, count in self.trials.counts().items()}, step=done)
        if ranking and ranking[0].best:
            self.parent.log(self._score(ranking[0].best), step=done)
        self.folder.mirror.push_soon()

    def _close_run(self, run: Run, trial: Trial) -> None:
        tags = {"trial.state": trial.state, "trial.cause": trial.cause}

        def close() -> None:
            if trial.best:
                with suppress(RequestError):
                    run.record.recorder.log(self._score(trial.best), step=int(trial.best["epoch"]))
            if _close(run, {name: value for name, value in tags.items() if value}):
                self.trials.note_recorded(trial)

        run.summary.status = "FAILED" if trial.state == "failed" else "FINISHED"
        self._in_background(close)

    def _score(self, best: events.Row) -> events.Row:
        """The searched metric of a trial's best epoch, as it is recorded."""
        name, _ = metric(self.experiment)
        return {f"best/{name}": best[f"validation/{name}"]}

    def _in_background(self, work: Callable[[], object]) -> None:
        thread = threading.Thread(target=work, name="trial-close")
        thread.start()
        self._closing.append(thread)

    def _await_closing(self) -> None:
        for thread in self._closing:
            thread.join()
        self._closing.clear()

    def _show(self) -> None:
        if not self.display.is_live:
            return
        trials = self.trials
        remaining = self.total - sum(trial.ended for trial in trials)
        left = time_left(time.monotonic() - self._began, self._ended, remaining, self.experiment.search.minutes)
        self.display.sweep(standing(trials, self.ranking, self.experiment, self.total, left))

    @contextmanager
    def _away_is_told(self) -> Iterator[None]:
        """Goes on where a trial's record cannot be opened."""
        try:
            yield
        except RequestError as error:
            self._warn(error)

    def _warn(self, error: RequestError) -> None:
        if not self._warned:
            self._warned = True
            self.display.warn(f"{error}; the sweep goes on, and records at its end what is missing")


def _close(run: Run, tags: dict[str, str]) -> bool:
    """Ends a trial's record; True if MLflow has all of it."""
    with suppress(RequestError):
        run.record.tag(tags)
    return run.record.close()
