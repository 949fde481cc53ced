"""What is recorded of a run."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import cast

from trainers import config, tracking
from trainers.errors import RequestError
from trainers.events import Row
from trainers.experiment import Experiment
from trainers.origin import origin
from trainers.runs.folder import RunFolder
from trainers.summary import Summary
from trainers.tracking import Recorder, Status, tracking_uri

SEND_SECONDS = 30.0  # how long the end of a run waits for a tracking server that is away


def open_recorder(
    folder: RunFolder, experiment: Experiment, tags: Mapping[str, str], *, system_metrics: bool
) -> Recorder:
    """The recorder of a run or sweep: of a new MLflow run, or of the one that an earlier start began.

    Raises RequestError: MLflow is away or refuses us, or another process is recording it.
    """
    uri, run_id = tracking_uri(experiment.tracking.uri, folder.storage), folder.run_id
    if run_id:
        recorder = Recorder.resume(run_id, uri, lambda _: folder.path, system_metrics=system_metrics)
        recorder.tag(tags)
        return recorder
    return Recorder.start(
        uri,
        experiment.mlflow_experiment,
        lambda _: folder.path,
        run_name=folder.name,
        params=config.flatten(experiment.model_dump()),
        tags={**origin(), **tags},
        system_metrics=system_metrics,
        artifacts=folder.storage / "artifacts",
    )


class RunRecord:
    """The record of a run, opened in a thread, since that takes seconds of imports; what is recorded waits for it.

    Args:
        summary: gets the id of the MLflow run, and has the status with which the record ends.
        system_metrics: whether the machine is measured.
        opened: called in that thread when the record is open.

    Attributes:
        tags: that it has from the beginning.
    """

    def __init__(
        self,
        folder: RunFolder,
        experiment: Experiment,
        summary: Summary,
        *,
        system_metrics: bool,
        opened: Callable[[Recorder], None],
    ) -> None:
        self.tags: dict[str, str] = {}
        self._folder, self._experiment, self._summary = folder, experiment, summary
        self._system_metrics, self._opened = system_metrics, opened
        self._recorder: Future[Recorder] | None = None

    @property
    def uri(self) -> str:
        """Where MLflow has it."""
        return tracking_uri(self._experiment.tracking.uri, self._folder.storage)

    @property
    def recorder(self) -> Recorder:
        """The recorder, once it is open; raises RequestError: it cannot be opened."""
        return self.open().result()

    def open(self) -> "Future[Recorder]":
        """Opens the record in a thread, unless that is done.

        Not before training is under way: importing mlflow takes seconds, which the start of the workers needs more.
        """
        if self._recorder is None:
            self._recorder = Future()
            threading.Thread(target=self._open, args=(self._recorder,), name="recorder-start", daemon=True).start()
        return self._recorder

    def log(self, row: Row) -> None:
        """Records an epoch's metrics; raises RequestError: the record cannot be opened."""
        metrics = {name: value for name, value in row.items() if name not in ("epoch", "best", "seconds")}
        self.recorder.log(metrics, step=int(row["epoch"]))

    def tag(self, tags: dict[str, str]) -> None:
        """Records tags: at once if the record is being kept already, else when it is opened.

        Raises RequestError: the record cannot be opened.
        """
        self.tags |= tags
        if self._recorder is not None:
            self.recorder.tag(tags)

    def close(self) -> bool:
        """Ends the record, if it was begun, with the status of the summary; True if MLflow has all of it."""
        try:
            if self._recorder is None:
                return False
            return self.recorder.finish(cast("Status", self._summary.status), wait_s=SEND_SECONDS)
        except RequestError:
            return False  # it could not be opened: that error is being raised, or is the lesser one
        finally:
            self._folder.mirror.settle()

    def _open(self, future: "Future[Recorder]") -> None:
        if self._experiment.log.level == "debug":
            tracking.quiet(logging.INFO)
        is_new = self._folder.run_id is None
        try:
            recorder = open_recorder(self._folder, self._experiment, self.tags, system_metrics=self._system_metrics)
        except BaseException as error:
            future.set_exception(error)
            return
        for file in (self._folder.saved, self._folder.layers):
            if is_new and file.exists():
                recorder.artifact(file)
        self._summary.run_id = recorder.run_id
        self._folder.mirror.push_soon()  # from now on a run that goes on elsewhere must know its id
        future.set_result(recorder)
        self._opened(recorder)
