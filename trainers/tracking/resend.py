"""Sends afterwards what a run could not send."""

from pathlib import Path

from trainers.errors import RequestError, WorkError
from trainers.tracking.client import connect, one_line, shown
from trainers.tracking.journal import Journal, read
from trainers.tracking.sender import Away, drain

PATIENCE_S = 15.0  # a sender that has just been told to stop may still be inside its last request


def replay(folder: Path, uri: str | None = None) -> int:
    """Sends what a run's journal holds and MLflow has not got; returns how many records that was.

    A run whose process ended without a word gets the status KILLED. Doing it again sends nothing.

    Args:
        folder: the run's folder.
        uri: where to, if not to the store that the run was recorded in.

    Raises:
        RequestError: there is no journal, the run still goes on, or MLflow does not serve us or does not know the run.
        WorkError: MLflow went away in between; call again.
    """
    from mlflow.exceptions import MlflowException

    head = next((record for record, _ in read(folder)), {})
    if head.get("kind") != "run":
        raise RequestError(f"tracking: the journal in {folder} does not begin with a run; nothing can be sent")
    run_id, uri = str(head["run_id"]), uri or str(head["uri"])
    journal = Journal(folder, wait_s=PATIENCE_S)
    try:
        client = connect(uri)
        try:
            client.get_run(run_id)
        except MlflowException as error:
            raise RequestError(f"tracking: no run {run_id} at {shown(uri)} ({one_line(error)})") from None
        _end(journal)
        return drain(client, run_id, folder)
    except Away as error:
        raise WorkError(f"{one_line(error)}; the rest is still in {folder}, call replay again") from None
    finally:
        journal.close()


def _end(journal: Journal) -> None:
    status, last = "", 0
    for record, _ in read(journal.folder):
        status = record["status"] if record["kind"] == "status" else status
        last = record["time"] or last
    if status in ("", "RUNNING"):
        # We hold the lock, so its process is gone; it ended about when it last wrote.
        journal.append("status", status="KILLED", time=last)
