"""A run in progress, as the driver sees it: what rank 0 tells is shown, recorded and remembered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trainers import events, reports
from trainers.data import Prepared
from trainers.display import Display
from trainers.errors import WorkError
from trainers.experiment import Experiment
from trainers.runs.folder import RunFolder
from trainers.runs.micro_batches import MicroBatches
from trainers.runs.record import RunRecord
from trainers.summary import Summary
from trainers.tracking import Recorder

if TYPE_CHECKING:
    from trainers.engine import Job
    from trainers.models import Size


@dataclass
class Run:
    """One run, from its start to its end.

    Args:
        rows: by epoch, since an epoch may be done twice.
        classifier: that measures a GAN's samples.
        of_sweep: the machine is measured for the sweep as a whole.
        recording: called, in a thread, once the record is open.
    """

    folder: RunFolder
    experiment: Experiment
    display: Display
    summary: Summary
    resumed: bool = False
    rows: dict[int, events.Row] = field(default_factory=dict)
    classifier: Path | None = None
    of_sweep: bool = False
    recording: Callable[[], None] = lambda: None
    tested: events.Tested | None = None
    verdict: str = ""  # on who is champion
    classes: tuple[str, ...] = ()
    _first_batch: events.FirstBatch | None = None
    _first_step: float | None = None
    _starts: int = 0

    def __post_init__(self) -> None:
        self._micro_batches = MicroBatches(self.experiment.training.micro_batch)
        measure = self.experiment.tracking.system_metrics and not self.of_sweep
        self.record = RunRecord(
            self.folder, self.experiment, self.summary, system_metrics=measure, opened=self._recorded
        )

    @property
    def history(self) -> list[events.Row]:
        """The epochs' metrics in order."""
        return [self.rows[epoch] for epoch in sorted(self.rows)]

    def job(self, data: Prepared) -> "Job":
        """What the ranks are given."""
        from trainers.engine import Job

        return Job(self.experiment, self.folder.path, self.folder.storage, data.pack.key, self.classifier)

    def begin(self, data: Prepared, size: "Size", workers: int) -> None:
        """Notes what is known before the first step, and keeps the resolved experiment and the model summary."""
        from trainers.models import summary_table

        self.keep_experiment()
        self.classes = data.pack.classes
        self.folder.layers.write_text(summary_table(size) + "\n")
        summary, training = self.summary, self.experiment.training
        summary.world_size = max(workers, 1)
        summary.global_batch = training.batch_size
        share = -(-training.batch_size // summary.world_size)
        summary.micro_batch = min(training.micro_batch or share, share)
        self.record.tags |= {
            "data.fingerprint": data.pack.fingerprint,
            "data.unreadable": str(len(data.pack.unreadable)),
            "world_size": str(summary.world_size),
            "micro_batch": str(summary.micro_batch),
        }
        self.folder.mirror.push_soon()

    def keep_experiment(self) -> None:
        """Saves the resolved experiment, unless an earlier start has."""
        if not self.resumed:
            self.folder.keep(self.experiment)

    def hear(self, event: events.Event) -> None:
        """Takes one piece of news from rank 0.

        Raises:
            WorkError: training cannot go on.
            RequestError: the record cannot be opened.
        """
        epochs = self.experiment.training.epochs
        match event:
            case events.Restored():
                self._restored(event)
            case events.FirstStep():
                self._first_step = self._first_step or event.at
                self.record.open()
            case events.FirstBatch():
                self._first_batch = event
            case events.Progress():
                self.display.step(event, epochs)
            case events.Unfrozen():
                self.display.say(f"unfrozen    from epoch {event.epoch} on {event.trained:,} parameters are trained")
            case events.MicroBatch():
                self._fits(event)
            case events.Pictured():
                self._draw(event)
            case events.EpochDone():
                self.rows[int(event.row["epoch"])] = event.row
                self.display.epoch(event.row, epochs)
                self.record.log(event.row)
                self.folder.mirror.push_soon()
            case events.Tested():
                self.tested = event
            case events.Warned():
                self.display.warn(event.message)
            case events.Failed():
                raise WorkError(event.message)

    def change(self, options: dict[str, str]) -> None:
        """Notes options that change while it goes on, which recorded params cannot.

        Raises RequestError: the record cannot be opened.
        """
        self._starts = 0  # what it goes on from is no accident
        self.record.tag({f"after_epoch_{len(self.history)}.{path}": value for path, value in options.items()})

    def end_times(self, ready: float) -> None:
        """Works out the seconds of each phase once training is over; `ready` is when the data was (since 1970)."""
        if self.tested is None:
            raise WorkError("training ended without a result (--log.level debug shows all)")
        seconds = self.summary.seconds
        first = self._first_step or time.time()
        seconds["start"] = first - ready if self._first_step else 0.0
        seconds["train"] = time.time() - first - self.tested.seconds
        seconds["evaluate"] = self.tested.seconds

    def _recorded(self, recorder: Recorder) -> None:
        if self._first_batch is not None:
            recorder.artifact(self._draw_first(self._first_batch), "pictures")
        self.recording()

    def _draw_first(self, batch: events.FirstBatch) -> Path:
        """The first training images as the network sees them."""
        labels = None if batch.labels is None or not self.classes else [self.classes[n] for n in batch.labels]
        return reports.draw_tiles(batch.images, self.folder.path / "pictures" / "first-batch.png", labels=labels)

    def _draw(self, event: events.Pictured) -> None:
        """What the network makes after an epoch."""
        path = self.folder.path / "pictures" / "epochs" / f"epoch-{event.epoch:04d}.png"
        if event.originals is None:
            reports.draw_tiles(event.images, path, columns=8)
        else:
            reports.draw_reconstructions(event.originals, event.images, path)
        self.record.recorder.artifact(path, "pictures/epochs")

    def _fits(self, event: events.MicroBatch) -> None:
        """How many samples each worker takes at a time from here on."""
        self.summary.micro_batch = event.size
        if line := self._micro_batches.hear(event):
            self.display.say(line)
        if warning := self._micro_batches.warning(event):
            self.display.warn(warning)
        self.record.tag(self._micro_batches.tags(event))

    def _restored(self, event: events.Restored) -> None:
        self._starts += 1
        self.rows = {int(row["epoch"]): row for row in event.history}  # what came after it is done again
        if event.missing and not event.epoch:
            few = ", ".join(event.missing[:6]) + (f" and {len(event.missing) - 6} more" if event.missing[6:] else "")
            self.display.say(f"weights     not in {self.experiment.model.weights}, start fresh: {few}")
        if self._starts > 1:
            self.display.result(f"a worker was lost; training goes on after epoch {event.epoch}")
            self.record.recorder.tag({"restarts": str(self._starts - 1)})
        elif event.epoch or self.resumed:
            self.display.say(f"goes on after epoch {event.epoch}")
