"""The recorder: the one object that talks to MLflow during a run. It lives in the driver; workers never meet it."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from trainers.errors import RequestError
from trainers.tracking.client import connect, one_line, shown, sqlite_file
from trainers.tracking.journal import Journal, now_ms, numbers, read
from trainers.tracking.sender import LIMITS, Sender
from trainers.tracking.system import INTERVAL_S, SystemMetrics

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("trainers")
V = TypeVar("V")

Status = Literal["FINISHED", "FAILED", "KILLED"]

# MLflow's limits: https://mlflow.org/docs/latest/rest-api.html, "Request Limits"
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000
# So few that a record of the longest values stays under MLflow's 1 MB per request, however they are encoded.
_VALUES_PER_RECORD = 20


class Recorder:
    """Records one run; made by `start` or `resume`.

    All methods may be called from any thread, return at once and never raise because of MLflow: a record goes to the
    run's journal, and a background thread sends it (see `trainers.tracking.sender`).

    Attributes:
        run_id: of the MLflow run.
        experiment_id: of the MLflow experiment that it belongs to.
        uri: the tracking URI.
        folder: the run's folder, where the journal is.
    """

    def __init__(
        self, client: "MlflowClient", uri: str, run_id: str, experiment_id: str, journal: Journal, began_ms: int
    ) -> None:
        self.run_id, self.experiment_id, self.uri, self.folder = run_id, experiment_id, uri, journal.folder
        self._journal, self._began_ms = journal, began_ms
        self._sender = Sender(client, uri, run_id, journal)
        self._system: SystemMetrics | None = None
        self._broken = self._ended = False

    @classmethod
    def start(
        cls,
        uri: str,
        experiment: str,
        folder_for: Callable[[str], Path],
        run_name: str,
        params: Mapping[str, object],
        tags: Mapping[str, str],
        system_metrics: bool = True,
        artifacts: Path | None = None,
    ) -> Self:
        """Begins a new MLflow run; its folder is what `folder_for` says for the run's id.

        `artifacts` is where files and models go if the store is a SQLite file: by default a folder beside it.

        Raises RequestError: MLflow is away (told within seconds) or refuses us, or the folder cannot be written.
        """
        client = connect(uri)
        from mlflow.exceptions import MlflowException

        try:
            experiment_id = _experiment_id(client, uri, experiment, artifacts)
            short = {name: _fit(value, _LONGEST_TAG) for name, value in tags.items()}
            run = client.create_run(experiment_id, run_name=run_name, tags=short)
        except MlflowException as error:
            raise RequestError(f"tracking: {shown(uri)} starts no run in `{experiment}`: {one_line(error)}") from None
        run_id = run.info.run_id
        journal = Journal(folder_for(run_id))
        began = int(run.info.start_time)
        journal.append("run", run_id=run_id, experiment_id=experiment_id, uri=shown(uri), time=began)
        recorder = cls(client, uri, run_id, experiment_id, journal, began)
        recorder.params(params)
        return recorder._run(system_metrics)

    @classmethod
    def resume(cls, run_id: str, uri: str, folder_for: Callable[[str], Path], system_metrics: bool = True) -> Self:
        """Goes on with a run that was started before: the same MLflow run, the same journal, status RUNNING again.

        What an earlier process could not send is sent first.

        Raises RequestError: as `start`; or there is no such run, or another process is recording it.
        """
        client = connect(uri)
        from mlflow.exceptions import MlflowException

        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            raise RequestError(f"tracking: no run {run_id} at {shown(uri)} ({one_line(error)})") from None
        folder = folder_for(run_id)
        journal = Journal(folder, wait_s=1.0)
        experiment_id, began = run.info.experiment_id, int(run.info.start_time)
        if next(read(folder), None) is None:
            journal.append("run", run_id=run_id, experiment_id=experiment_id, uri=shown(uri), time=began)
        journal.append("status", status="RUNNING")
        return cls(client, uri, run_id, experiment_id, journal, began)._run(system_metrics)

    def log(self, metrics: Mapping[str, float], step: int, timestamp_ms: int | None = None) -> None:
        """Records metrics of a step (not negative), at the present time unless another is given."""
        stamp = now_ms() if timestamp_ms is None else timestamp_ms
        for values in _portions(numbers(metrics), LIMITS["metrics"]):
            self._append("metrics", values=values, step=int(step), time=stamp)

    def params(self, params: Mapping[str, object]) -> None:
        """Records params, once for all: MLflow refuses to change one. Values over 6,000 characters are cut."""
        short = {str(name): _fit(value, _LONGEST_PARAM) for name, value in params.items()}
        for values in _portions(short, _VALUES_PER_RECORD):
            self._append("params", values=values)

    def tag(self, tags: Mapping[str, object]) -> None:
        """Records tags, which may be changed. Values over 8,000 characters are cut."""
        short = {str(name): _fit(value, _LONGEST_TAG) for name, value in tags.items()}
        for values in _portions(short, _VALUES_PER_RECORD):
            self._append("tags", values=values)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Records a file or folder, under `folder` among the run's artifacts. It must stay until it was sent."""
        path = path.absolute()
        home = self.folder.absolute()
        # Relative where possible, so that the run's folder may be moved before a replay.
        name = path.relative_to(home) if path.is_relative_to(home) else path
        self._append("artifact", path=str(name), folder=folder)

    def finish(self, status: Status, wait_s: float = 30.0) -> bool:
        """Ends the run; waits at most about `wait_s` seconds for the rest to be sent. True if all was sent.

        Only the first call counts, so that a failure after the end does not change how the run ended.
        """
        if self._ended:
            return self._sender.drained
        self._ended = True
        if self._system is not None:
            self._system.finish()
        self._append("status", status=status)
        done = self._sender.finish(wait_s)
        if not done:
            log.warning(
                "tracking: %s has not got all of this run; send the rest with: trainers replay %s",
                shown(self.uri),
                self.folder,
            )
        return done and not self._broken

    def _run(self, system_metrics: bool) -> Self:
        self._sender.start()
        self._sender.wake()
        if system_metrics:
            self._system = SystemMetrics(self._log_system)
            self._system.start()
        return self

    def _log_system(self, metrics: Mapping[str, float]) -> None:
        # Steps count from the run's beginning, so that those of a resumed run follow on.
        self.log(metrics, step=int((time.time() * 1000 - self._began_ms) / (1000 * INTERVAL_S)))

    def _append(self, kind: str, **fields: Any) -> None:
        try:
            self._journal.append(kind, **fields)
        except (OSError, ValueError) as error:
            # A full disk must not end the training either.
            if not self._broken:
                log.warning("tracking: %s cannot be written (%s); records are lost", self.folder, one_line(error))
            self._broken = True
        self._sender.wake()


def _portions(values: Mapping[str, V], size: int) -> Iterator[dict[str, V]]:
    items = list(values.items())
    return (dict(items[start : start + size]) for start in range(0, len(items), size))


def _fit(value: object, limit: int) -> str:
    value = shown(str(value))  # a tracking URI may hold a password
    return value if len(value) <= limit else value[: limit - 1] + "…"


def _experiment_id(client: "MlflowClient", uri: str, name: str, artifacts: Path | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = sqlite_file(uri)
        # A server decides itself; without one, MLflow would put artifacts beside the working directory.
        place = None if file is None else (artifacts or file.parent / "artifacts").absolute().as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=place))
        except MlflowException:
            # Another run may have made it in this very moment.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise RequestError(
            f"tracking.experiment: `{name}` is deleted at {shown(uri)}; give another name or restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}`"
        )
    return str(found.experiment_id)
