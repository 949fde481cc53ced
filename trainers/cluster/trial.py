"""One trial of a sweep, as Ray Tune drives it: an epoch at a time."""

import gc
import logging
import math
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from ray.tune import Trainable
from ray.util.queue import Queue

from trainers.cluster.resources import Resources
from trainers.cluster.sweep import Sweep
from trainers.data import open_pack
from trainers.engine import CheckpointStore, Job, World, work_alone
from trainers.errors import TrainersError
from trainers.events import EpochDone, Event, Failed, Restored, Row, TrialTold
from trainers.experiment import Experiment
from trainers.search import best_row, score_of, with_options
from trainers.storage import on_s3

# What a trial reports after each epoch, besides whether it is over and why it failed.
SCORE, EPOCH, OVER, CAUSE = "score", "epoch", "over", "cause"
WORST = -1e30  # of a trial without a score; schedulers and searchers want numbers that they can subtract
NUMBER = "number"  # the file in a checkpoint that says whose it is

log = logging.getLogger("trainers")


class TrialProcess(Trainable):
    """Runs trial after trial in one process, which has imported everything when the second begins."""

    def setup(self, config: dict[str, Any], **shared: Any) -> None:
        """Called once in each process; `config` has the trial's options, `shared` is for all trials."""
        self._sweep: Sweep = shared["sweep"]
        self._resources: Resources = shared["resources"]
        self._queue: Queue = shared["queue"]
        torch.set_num_threads(self._resources.cpus)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Makes ready for another trial, or the same with other options; all of the one before is gone then."""
        self.cleanup()
        self._number, self._options = int(self.trial_name), new_config["options"]
        self._history: list[Row] = []
        self._again: deque[Row] = deque()  # epochs from before, of which Ray Tune does not know
        self._waited = False
        return True

    def step(self) -> dict[str, Any]:
        """Trains to the end of an epoch. What goes wrong ends this trial and no other."""
        try:
            return self._step()
        except Exception as error:
            if self._has_gpu and not _gpu_works():
                raise  # Ray Tune starts it again, in a process of its own
            log.exception("trial %d failed", self._number)
            return self._failed(_describe(error))

    def cleanup(self) -> None:
        """Ends the trial and gives back its memory, also where it was stopped between two epochs."""
        events: Generator[Event] | None = self.__dict__.pop("_events", None)
        if events is None:
            return
        events.close()
        del events
        gc.collect()
        if self._has_gpu:
            torch.cuda.empty_cache()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Copies the trial's own checkpoints, for another to go on with; pbt alone asks for it.

        Raises WorkError: S3 cannot be reached.
        """
        if on_s3(self._sweep.experiment.storage):
            self.cleanup()  # then they are all there, wherever its ranks are; it goes on as one that had to wait
            self._waited = True
        self._store.copy_to(Path(checkpoint_dir) / "checkpoints")
        (Path(checkpoint_dir) / NUMBER).write_text(str(self._number))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Goes on with another trial's checkpoints; a trial that only waited for its turn, with its own.

        Raises WorkError: they cannot be brought to S3.
        """
        if int((Path(checkpoint) / NUMBER).read_text()) == self._number:
            self._waited = True
            return
        self._store.replace(Path(checkpoint) / "checkpoints")

    @property
    def _has_gpu(self) -> bool:
        """Whether this process itself computes on a GPU, and not workers of its own."""
        return self._resources.gpu and self._resources.workers <= 1

    @property
    def _store(self) -> CheckpointStore:
        return CheckpointStore.of(self._sweep.experiment, self._sweep.storage, self._sweep.folder(self._number), {})

    def _step(self) -> dict[str, Any]:
        if self._again:
            return self._report(self._again.popleft())
        if "_events" not in self.__dict__:
            self._events = self._start()
        for event in self._events:
            if isinstance(event, Restored) and event.history:
                reported = {row["epoch"] for row in self._history}
                self._again = deque(row for row in event.history if row["epoch"] not in reported)
            if not (isinstance(event, Restored) and self._waited):
                self._queue.put(TrialTold(self._number, event))
            if isinstance(event, Failed):
                return self._failed(event.message)
            if isinstance(event, EpochDone):
                report = self._report(event.row)
                if not report[OVER]:  # else what follows brings the last checkpoint to where it lasts
                    return report
            if self._again:
                return self._report(self._again.popleft())
        if not self._history:
            return self._failed("training ended before the first epoch did")
        return self._report(self._history[-1], over=True)

    def _start(self) -> Generator[Event]:
        job = job_of(self._sweep, self._number, self._options)
        self._epochs = job.experiment.training.epochs
        if self._resources.workers > 1:
            from trainers.cluster.training import train_on_ray

            return train_on_ray(job, self._resources, in_steps=True)
        device = torch.device("cuda", 0) if self._has_gpu else torch.device("cpu")
        return cast("Generator[Event]", work_alone(job, World(device=device)))

    def _report(self, row: Row, *, over: bool = False) -> dict[str, Any]:
        self._history = [earlier for earlier in self._history if earlier["epoch"] < row["epoch"]] + [row]
        over = over or row["epoch"] >= self._epochs
        return report_of(self._sweep, self._history) | {OVER: over, "done": over}

    def _failed(self, cause: str) -> dict[str, Any]:
        with suppress(Exception):  # what went wrong is known
            self.cleanup()
        return {EPOCH: len(self._history) + 1, SCORE: WORST, CAUSE: cause, "done": True}


def job_of(sweep: Sweep, number: int, options: dict[str, Any]) -> Job:
    """What a trial's ranks are given; raises RequestError: its options do not go together, or its data is not there."""
    base, experiment = sweep.experiment, with_options(sweep.experiment, options)
    shared = _same(base, experiment, "data", "model", "seed", "training.precision")
    unpacked = {"augment", "normalise"}  # options of the data that concern batches alone
    same_pack = experiment.data.model_dump(exclude=unpacked) == base.data.model_dump(exclude=unpacked)
    return Job(
        experiment,
        sweep.folder(number),
        sweep.storage,
        sweep.pack_key if same_pack else open_pack(experiment.data, sweep.storage).key,
        sweep.classifier,
        features=sweep.features if shared else None,
        test=False,
    )


def report_of(sweep: Sweep, history: Sequence[Row]) -> dict[str, Any]:
    """What Ray Tune is told after the last of these epochs: its number, and what the trial is worth.

    That is the score of the best epoch so far, whose weights are kept; for pbt, which goes on with the last, of that.
    """
    last = history[-1]
    row = last if sweep.experiment.search.scheduler == "pbt" else best_row(history) or last
    score = score_of(sweep.experiment, row)
    return {EPOCH: int(last["epoch"]), SCORE: score if math.isfinite(score) else WORST}


def _same(first: Experiment, second: Experiment, *paths: str) -> bool:
    """Whether two experiments have the same options."""

    def value(section: Any, path: str) -> Any:
        name, _, rest = path.partition(".")
        return value(getattr(section, name), rest) if rest else getattr(section, name)

    return all(value(first, path) == value(second, path) for path in paths)


def _describe(error: Exception) -> str:
    """The cause in one line: all that our own code says, else the first line of what another does."""
    lines = str(error).strip().splitlines()
    if isinstance(error, TrainersError):
        return "; ".join(lines)
    return ": ".join([type(error).__name__, *lines[:1]])


def _gpu_works() -> bool:
    """Whether this process can still use its GPU: after some errors it no longer can."""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True
