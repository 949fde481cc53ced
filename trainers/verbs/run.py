"""A run in progress, as the driver sees it: what rank 0 tells is shown, recorded and remembered."""

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trainers
from trainers import config
from trainers.display import Display
from trainers.errors import WorkError
from trainers.events import EpochDone, Event, Failed, FirstStep, Progress, Restored, Row, Tested
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.tracking import Recorder, tracking_uri
from trainers.verbs.plan import Plan

SEND_SECONDS = 30.0  # how long the end of a run waits for a tracking server that is away

if TYPE_CHECKING:
    from trainers.engine.job import Job


@dataclass
class Run:
    """One run, from the opening of its record to its end."""

    experiment: Experiment
    storage: Path
    display: Display
    summary: Summary
    resumed: bool = False
    rows: dict[int, Row] = field(default_factory=dict)  # by epoch, since an epoch may be done twice
    tested: Tested | None = None
    recorder: Recorder | None = None
    verdict: str = ""  # on who is champion
    _first_step: float | None = None
    _starts: int = 0

    @property
    def history(self) -> list[Row]:
        """The epochs' metrics in order."""
        return [self.rows[epoch] for epoch in sorted(self.rows)]

    @property
    def uri(self) -> str:
        """Where MLflow records it."""
        return tracking_uri(self.experiment.tracking.uri, self.storage)

    def job(self, data: Plan) -> "Job":
        """What the ranks are given."""
        from trainers.engine.job import Job

        return Job(self.experiment, self.folder(str(self.summary.run_id)), self.storage, data.pack.key)

    def folder(self, run_id: str) -> Path:
        """Where everything of a run lies: experiment, journal, checkpoints, pictures."""
        return self.storage / "training" / run_id

    def open_recorder(self, resume: str | None) -> Recorder:
        """Opens the MLflow run, a new one or an earlier one again, and keeps the resolved experiment beside it."""
        options = self.experiment
        measure = options.tracking.system_metrics
        if resume:
            return Recorder.resume(self.uri, resume, self.folder, system_metrics=measure)
        recorder = Recorder.start(
            self.uri,
            options.mlflow_experiment,
            self.folder,
            run_name=f"{options.name}-{time.strftime('%m%d-%H%M%S')}",
            params=config.flatten(options.model_dump()),
            tags=_origin(),
            system_metrics=measure,
        )
        saved = recorder.folder / "experiment.yaml"
        saved.write_text(config.dump_yaml(options))
        recorder.artifact(saved)
        return recorder

    def begin(self, data: Plan, workers: int) -> None:
        """Notes what is known before the first step."""
        summary, training = self.summary, self.experiment.training
        summary.world_size = max(workers, 1)
        summary.global_batch = training.batch_size
        share = -(-training.batch_size // summary.world_size)
        summary.micro_batch = min(training.micro_batch or share, share)
        self._record().tag(
            {
                "data.fingerprint": data.pack.fingerprint,
                "data.unreadable": str(len(data.pack.unreadable)),
                "world_size": str(summary.world_size),
                "micro_batch": str(summary.micro_batch),
            }
        )

    def hear(self, event: Event) -> None:
        """Takes one piece of news from rank 0.

        Raises:
            WorkError: training cannot go on.
        """
        epochs = self.experiment.training.epochs
        if isinstance(event, Restored):
            self._restored(event)
        elif isinstance(event, FirstStep):
            self._first_step = self._first_step or event.at
        elif isinstance(event, Progress):
            self.display.step(event, epochs)
        elif isinstance(event, EpochDone):
            self.rows[int(event.row["epoch"])] = event.row
            self.display.epoch(event.row, epochs)
            self._record().log(
                {name: value for name, value in event.row.items() if name not in ("epoch", "best", "seconds")},
                step=int(event.row["epoch"]),
            )
        elif isinstance(event, Tested):
            self.tested = event
        elif isinstance(event, Failed):
            raise WorkError(event.message)

    def times(self, ready: float) -> None:
        """Works out the seconds of each phase once training is over; `ready` is when the data was (since 1970)."""
        if self.tested is None:
            raise WorkError("training ended without a result (--log.level debug shows all)")
        seconds = self.summary.seconds
        first = self._first_step or time.time()
        seconds["start"] = first - ready if self._first_step else 0.0
        seconds["train"] = time.time() - first - self.tested.seconds
        seconds["evaluate"] = self.tested.seconds

    def _restored(self, event: Restored) -> None:
        self._starts += 1
        self.rows |= {int(row["epoch"]): row for row in event.history}
        if event.missing and not event.epoch:
            few = ", ".join(event.missing[:6]) + (f" and {len(event.missing) - 6} more" if event.missing[6:] else "")
            self.display.say(f"weights     not in {self.experiment.model.weights}, start fresh: {few}")
        if self._starts > 1:
            self.display.result(f"a worker was lost; training goes on after epoch {event.epoch}")
            self._record().tag({"restarts": str(self._starts - 1)})
        elif event.epoch or self.resumed:
            self.display.say(f"goes on after epoch {event.epoch}")

    def _record(self) -> Recorder:
        assert self.recorder is not None
        return self.recorder


def command(verb: str, *arguments: object) -> str:
    """The command line that calls a verb of this job."""
    return " ".join(["python", shlex.quote(sys.argv[0]), verb, *map(str, arguments)])


def _origin() -> dict[str, str]:
    """Where a run comes from: library version, git commit of the working folder, command line."""
    tags = {"trainers.version": trainers.__version__, "command": shlex.join(sys.argv)}
    for name, arguments in {"git.commit": ["rev-parse", "HEAD"], "git.dirty": ["status", "--porcelain"]}.items():
        try:
            answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return tags  # not a checkout, or no git: as on a cluster
        tags[name] = answer.strip() if name == "git.commit" else str(bool(answer.strip())).lower()
    return tags
