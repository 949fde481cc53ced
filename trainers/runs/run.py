"""A run in progress, as the driver sees it: what rank 0 tells is shown, recorded and remembered."""

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from trainers import config, reports, tracking
from trainers.data import Prepared
from trainers.display import Display
from trainers.errors import RequestError, WorkError
from trainers.events import (
    EpochDone,
    Event,
    Failed,
    FirstBatch,
    FirstStep,
    MicroBatch,
    Pictured,
    Progress,
    Restored,
    Row,
    Tested,
    Unfrozen,
    Warned,
)
from trainers.experiment import Experiment
from trainers.origin import origin
from trainers.runs.micro_batches import MicroBatches
from trainers.storage import Mirror
from trainers.summary import Summary
from trainers.tracking import Recorder, Status, run_id_of, tracking_uri

EXPERIMENT = "experiment.yaml"  # the resolved experiment, in a run's folder
LAYERS = "layers.txt"  # the model summary, likewise
SEND_SECONDS = 30.0  # how long the end of a run waits for a tracking server that is away

if TYPE_CHECKING:
    from trainers.engine.job import Job
    from trainers.models import Size


@dataclass
class Run:
    """One run, from its start to its end.

    Its name is that of its folder below `storage/training`, in which everything of it lies: experiment, journal,
    checkpoints, pictures. With storage on S3 it is copied there in the background, but for the checkpoints, which the
    ranks bring there. Its record is opened in a thread, since that takes seconds of imports; what must be recorded
    waits for it.
    """

    name: str
    experiment: Experiment
    storage: Path
    display: Display
    summary: Summary
    resumed: bool = False
    rows: dict[int, Row] = field(default_factory=dict)  # by epoch, since an epoch may be done twice
    tested: Tested | None = None
    verdict: str = ""  # on who is champion
    tags: dict[str, str] = field(default_factory=dict)
    classifier: Path | None = None  # that measures a GAN's samples
    classes: tuple[str, ...] = ()
    of_sweep: bool = False  # the machine is measured, and the end made ready, for the sweep as a whole
    _first_batch: FirstBatch | None = None
    _recording: "Future[Recorder] | None" = None
    _first_step: float | None = None
    _starts: int = 0

    def __post_init__(self) -> None:
        self._micro_batches = MicroBatches(self.experiment.training.micro_batch)
        self.mirror = Mirror.of(self.experiment.storage, self.storage, self.folder)

    @property
    def history(self) -> list[Row]:
        """The epochs' metrics in order."""
        return [self.rows[epoch] for epoch in sorted(self.rows)]

    @property
    def uri(self) -> str:
        """Where MLflow records it."""
        return tracking_uri(self.experiment.tracking.uri, self.storage)

    @property
    def folder(self) -> Path:
        """Where everything of the run lies."""
        return self.storage / "training" / self.name

    @property
    def recorder(self) -> Recorder:
        """The run's recorder, once it is open.

        Raises:
            RequestError: it cannot be opened.
        """
        self.record()
        assert self._recording is not None
        return self._recording.result()

    def job(self, data: Prepared) -> "Job":
        """What the ranks are given."""
        from trainers.engine.job import Job

        return Job(self.experiment, self.folder, self.storage, data.pack.key, self.classifier)

    def _open_recorder(self) -> Recorder:
        options = self.experiment
        measure = options.tracking.system_metrics and not self.of_sweep
        run_id = run_id_of(self.folder)
        if run_id:
            recorder = Recorder.resume(run_id, self.uri, lambda _: self.folder, system_metrics=measure)
            recorder.tag(self.tags)
            return recorder
        recorder = Recorder.start(
            self.uri,
            options.mlflow_experiment,
            lambda _: self.folder,
            run_name=self.name,
            params=config.flatten(options.model_dump()),
            tags=origin() | self.tags,
            system_metrics=measure,
            artifacts=self.storage / "artifacts",
        )
        recorder.artifact(self.folder / EXPERIMENT)
        if (self.folder / LAYERS).exists():
            recorder.artifact(self.folder / LAYERS)
        return recorder

    def keep_experiment(self) -> None:
        """Writes the resolved experiment into the run's folder, unless an earlier start has."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.resumed:
            (self.folder / EXPERIMENT).write_text(config.dump_yaml(self.experiment))

    def begin(self, data: Prepared, size: "Size", workers: int) -> None:
        """Notes what is known before the first step, and keeps the resolved experiment and the model summary."""
        from trainers.models import summary_table

        self.keep_experiment()
        self.classes = data.pack.classes
        (self.folder / LAYERS).write_text(summary_table(size) + "\n")
        summary, training = self.summary, self.experiment.training
        summary.world_size = max(workers, 1)
        summary.global_batch = training.batch_size
        share = -(-training.batch_size // summary.world_size)
        summary.micro_batch = min(training.micro_batch or share, share)
        self.tags |= {
            "data.fingerprint": data.pack.fingerprint,
            "data.unreadable": str(len(data.pack.unreadable)),
            "world_size": str(summary.world_size),
            "micro_batch": str(summary.micro_batch),
        }
        self.mirror.push_soon()

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
            self.record()
        elif isinstance(event, FirstBatch):
            self._first_batch = event
        elif isinstance(event, Progress):
            self.display.step(event, epochs)
        elif isinstance(event, Unfrozen):
            self.display.say(f"unfrozen    from epoch {event.epoch} on {event.trained:,} parameters are trained")
        elif isinstance(event, MicroBatch):
            self._fits(event)
        elif isinstance(event, Pictured):
            self._draw(event)
        elif isinstance(event, EpochDone):
            self.rows[int(event.row["epoch"])] = event.row
            self.display.epoch(event.row, epochs)
            self.log(event.row)
            self.mirror.push_soon()
        elif isinstance(event, Tested):
            self.tested = event
        elif isinstance(event, Warned):
            self.display.warn(event.message)
        elif isinstance(event, Failed):
            raise WorkError(event.message)

    def log(self, row: Row) -> None:
        """Records an epoch's metrics.

        Raises:
            RequestError: the record cannot be opened.
        """
        metrics = {name: value for name, value in row.items() if name not in ("epoch", "best", "seconds")}
        self.recorder.log(metrics, step=int(row["epoch"]))

    def tag(self, tags: dict[str, str]) -> None:
        """Records tags: at once if the record is being kept already, else when it is opened.

        Raises:
            RequestError: the record cannot be opened.
        """
        self.tags |= tags
        if self._recording is not None:
            self.recorder.tag(tags)

    def change(self, options: dict[str, str]) -> None:
        """Notes options that change while it goes on, which `record`ed params cannot.

        Raises:
            RequestError: the record cannot be opened.
        """
        self._starts = 0  # what it goes on from is no accident
        self.tag({f"after_epoch_{len(self.history)}.{path}": value for path, value in options.items()})

    def end_times(self, ready: float) -> None:
        """Works out the seconds of each phase once training is over; `ready` is when the data was (since 1970)."""
        if self.tested is None:
            raise WorkError("training ended without a result (--log.level debug shows all)")
        seconds = self.summary.seconds
        first = self._first_step or time.time()
        seconds["start"] = first - ready if self._first_step else 0.0
        seconds["train"] = time.time() - first - self.tested.seconds
        seconds["evaluate"] = self.tested.seconds

    def close(self) -> bool:
        """Ends the record, if it was begun, with the status of the summary; True if MLflow has all of it."""
        try:
            if self._recording is None:
                return False
            return self.recorder.finish(cast("Status", self.summary.status), wait_s=SEND_SECONDS)
        except RequestError:
            return False  # it could not be opened: that error is being raised, or is the lesser one
        finally:
            self.mirror.settle()

    def record(self) -> None:
        """Opens the record in a thread, unless that is done.

        Not before training is under way: importing mlflow takes seconds, which the start of the workers needs more.
        """
        if self._recording is None:
            self._recording = Future()
            threading.Thread(target=self._record, args=(self._recording,), name="recorder-start", daemon=True).start()

    def _record(self, opened: "Future[Recorder]") -> None:
        if self.experiment.log.level == "debug":
            tracking.quiet(logging.INFO)
        try:
            recorder = self._open_recorder()
        except BaseException as error:
            opened.set_exception(error)
            return
        self.summary.run_id = recorder.run_id
        self.mirror.push_soon()  # from now on a run that goes on elsewhere must know its id
        opened.set_result(recorder)
        if self._first_batch is not None:
            recorder.artifact(self._draw_first(self._first_batch), "pictures")
        if not self.of_sweep:
            preload_end()

    def _draw_first(self, batch: FirstBatch) -> Path:
        """The first training images as the network sees them."""
        labels = None if batch.labels is None or not self.classes else [self.classes[n] for n in batch.labels]
        return reports.draw_tiles(batch.images, self.folder / "pictures" / "first-batch.png", labels=labels)

    def _draw(self, event: Pictured) -> None:
        """What the network makes after an epoch; the last is also kept without a number."""
        path = self.folder / "pictures" / "epochs" / f"epoch-{event.epoch:04d}.png"
        if event.originals is None:
            reports.draw_tiles(event.images, path, columns=8)
        else:
            reports.draw_reconstructions(event.originals, event.images, path)
        self.recorder.artifact(path, "pictures/epochs")

    def _fits(self, event: MicroBatch) -> None:
        """How many samples each worker takes at a time from here on."""
        self.summary.micro_batch = event.size
        if line := self._micro_batches.hear(event):
            self.display.say(line)
        if warning := self._micro_batches.warning(event):
            self.display.warn(warning)
        self.tag(self._micro_batches.tags(event))

    def _restored(self, event: Restored) -> None:
        self._starts += 1
        self.rows = {int(row["epoch"]): row for row in event.history}  # what came after it is done again
        if event.missing and not event.epoch:
            few = ", ".join(event.missing[:6]) + (f" and {len(event.missing) - 6} more" if event.missing[6:] else "")
            self.display.say(f"weights     not in {self.experiment.model.weights}, start fresh: {few}")
        if self._starts > 1:
            self.display.result(f"a worker was lost; training goes on after epoch {event.epoch}")
            self.recorder.tag({"restarts": str(self._starts - 1)})
        elif event.epoch or self.resumed:
            self.display.say(f"goes on after epoch {event.epoch}")


def preload_end() -> None:
    """Imports what the end of a run needs, which takes seconds, so that it need not be waited for then."""
    import_module("trainers.runs.finish")
    tracking.preload()
    reports.preload()
