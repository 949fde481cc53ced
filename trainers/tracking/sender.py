"""Sends a journal to MLflow: in order, in batches, from where the last sender stopped."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.tracking.client import away, one_line, shown
from trainers.tracking.journal import Journal, Record, now_ms, read, remember, sent

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("trainers")

# MLflow's limits of one request: https://mlflow.org/docs/latest/rest-api.html, "Log Batch"
LIMITS = {"metrics": 1000, "params": 100, "tags": 100}
_REQUEST_BYTES = 900_000  # of 1 MB, which a request may have

_GATHER_S = 0.5  # a request costs MLflow much more than a record does: wait for some company
_LONGEST_PAUSE_S = 30.0
_UPLOAD_TRIES = 3

Item = tuple[str, str, Any]  # ("metrics", name, entity)


class Away(Exception):
    """MLflow takes nothing at present; what was not sent stays in the journal."""


class Sender(threading.Thread):
    """The background thread that drains one journal; closes it at its end.

    Attributes:
        drained: whether all was sent, up to the end.
    """

    def __init__(self, client: "MlflowClient", uri: str, run_id: str, journal: Journal) -> None:
        super().__init__(name="trainers-sender", daemon=True)
        self._client, self._uri, self._run_id, self._journal = client, uri, run_id, journal
        self._wake, self._hurry, self._stop_now = threading.Event(), threading.Event(), threading.Event()
        self.drained = False

    def wake(self) -> None:
        """Says that the journal has grown."""
        self._wake.set()

    def finish(self, wait_s: float) -> bool:
        """Sends the rest for at most `wait_s` seconds; True if all was sent."""
        self._hurry.set()
        self._wake.set()
        self.join(wait_s)
        self._stop_now.set()
        return self.drained

    def run(self) -> None:
        """Drains the journal whenever it has grown, until `finish`."""
        try:
            self._run()
        finally:
            self._journal.close()

    def _run(self) -> None:
        pause, failures = _GATHER_S, 0
        while not self._stop_now.is_set():
            self._wake.wait()
            self._hurry.wait(pause)
            self._wake.clear()
            last = self._hurry.is_set()
            try:
                if failures and (complaint := away(self._uri, wait_s=2.0)):
                    raise Away(complaint)
                drain(self._client, self._run_id, self._journal.folder, self._stop_now)
            except Exception as error:  # whatever it is, the run goes on
                failures += 1
                if failures == 1:
                    log.warning("%s; the run goes on, its records wait in %s", one_line(error), self._journal.folder)
                pause = min(2.0 ** min(failures, 10), _LONGEST_PAUSE_S)
                self._wake.set()
                if last:
                    self._stop_now.wait(0.5)
                continue
            if failures:
                log.info("tracking: %s takes records again", shown(self._uri))
            pause, failures = _GATHER_S, 0
            if last and not self._stop_now.is_set():
                self.drained = True
                return


def drain(client: "MlflowClient", run_id: str, folder: Path, stop: threading.Event | None = None) -> int:
    """Sends what was not sent, until `stop`; returns the number of records. The caller holds the journal's lock.

    Sending twice what was sent but not remembered does no harm: steps and times are the record's own.

    Raises Away: MLflow takes nothing at present.
    """
    count, start = 0, sent(folder)
    for records, end in _batches(read(folder, start), start):
        if stop is not None and stop.is_set():
            break
        refused = _send(client, run_id, folder, records)
        if refused:
            log.warning("tracking: MLflow refused %s; left out, still in %s", "; ".join(refused), folder)
        remember(folder, end)
        count += len(records)
    return count


def _batches(records: Iterable[tuple[Record, int]], start: int) -> Iterator[tuple[list[Record], int]]:
    """Groups consecutive records of numbers and words into requests that MLflow takes; others stand alone."""
    batch: list[Record] = []
    names: dict[str, list[str]] = {kind: [] for kind in LIMITS}
    first = end = start
    for record, after in records:
        kind, own = record["kind"], list(record.get("values", ()))
        full = (
            kind not in LIMITS
            or after - first > _REQUEST_BYTES
            or len(names[kind]) + len(own) > LIMITS[kind]
            # A request may name a param or tag once only.
            or (kind != "metrics" and not set(own).isdisjoint(names[kind]))
        )
        if full and batch:
            yield batch, end
            batch, names, first = [], {kind: [] for kind in LIMITS}, end
        end = after
        if kind in LIMITS:
            batch.append(record)
            names[kind] += own
        else:
            yield [record], end
            first = end
    if batch:
        yield batch, end


def _send(client: "MlflowClient", run_id: str, folder: Path, records: list[Record]) -> list[str]:
    """Sends records that belong in one request; returns what MLflow refused for good."""
    kind = records[0]["kind"]
    if kind in LIMITS:
        return _send_items(client, run_id, [item for record in records for item in _items(record)])
    if kind == "artifact":
        return _send_artifact(client, run_id, folder, records[0])
    if kind == "status":
        return _send_status(client, run_id, records[0])
    return [] if kind == "run" else ["a damaged line"]


def _items(record: Record) -> list[Item]:
    from mlflow.entities import Metric, Param, RunTag

    kind, values = record["kind"], record["values"]
    if kind == "metrics":
        step, stamp = record["step"], record["time"]
        return [(kind, name, Metric(name, float(value), stamp, step)) for name, value in values.items()]
    entity = Param if kind == "params" else RunTag
    return [(kind, name, entity(name, value)) for name, value in values.items()]


def _send_items(client: "MlflowClient", run_id: str, items: list[Item]) -> list[str]:
    if not items:
        return []
    groups: dict[str, list[Any]] = {kind: [entity for of, _, entity in items if of == kind] for kind in LIMITS}
    try:
        client.log_batch(run_id, groups["metrics"], groups["params"], groups["tags"], synchronous=True)
    except Exception as error:
        _check_writable(client, run_id, error)
        if len(items) == 1:
            return [f"{items[0][1]} ({one_line(error)})"]
        # One bad value spoils its whole request: halve until it stands alone.
        middle = len(items) // 2
        return _send_items(client, run_id, items[:middle]) + _send_items(client, run_id, items[middle:])
    return []


def _send_artifact(client: "MlflowClient", run_id: str, folder: Path, record: Record) -> list[str]:
    path = folder / record["path"]  # an absolute path stays what it is
    for attempt in range(_UPLOAD_TRIES):
        try:
            upload = client.log_artifacts if path.is_dir() else client.log_artifact
            upload(run_id, str(path), record["folder"])
            return []
        except FileNotFoundError:
            return [f"{path} (no such file)"]
        except Exception as error:
            _check_writable(client, run_id, error)
            cause = one_line(error)
            time.sleep(attempt)
    return [f"{path} ({cause})"]


def _send_status(client: "MlflowClient", run_id: str, record: Record) -> list[str]:
    try:
        if record["status"] == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        else:
            client.set_terminated(run_id, record["status"], record["time"] or now_ms())
    except Exception as error:
        _check_writable(client, run_id, error)
        return [f"the status {record['status']} ({one_line(error)})"]
    return []


def _check_writable(client: "MlflowClient", run_id: str, error: Exception) -> None:
    """Tells a refused record from a store that takes nothing: error codes do not, a write that must succeed does."""
    try:
        client.set_tag(run_id, "trainers.last_refusal", type(error).__name__, synchronous=True)
    except Exception:
        raise Away(f"tracking: MLflow does not take records ({one_line(error)[:200]})") from error
