"""`trainers jobs`: lists, follows and stops what runs on a cluster."""

import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainers.remote import jobs as remote
from trainers.remote.send import Tell, Where, follow

WIDTH = 60  # of a command line that is shown


def list_jobs(where: Where, tell: Tell) -> None:
    """Prints a table of the jobs that the cluster knows, the oldest first.

    Raises:
        RequestError: the cluster cannot be reached, or refuses.
    """
    target = where.find(tell)
    jobs = remote.list_jobs(target)
    if not jobs:
        tell(f"no job was submitted to {target.url}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "state", "started"):
        table.add_column(column, no_wrap=True)
    table.add_column("seconds", justify="right")
    table.add_column("command", no_wrap=True)
    for job in jobs:
        table.add_row(*map(Text, _row(job)))
    # A pipe has no width: there, no row may be cut.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 1000).print(table)


def follow_job(where: Where, job_id: str, place: Path | None, tell: Tell) -> int:
    """Follows a job's log from its beginning to the job's end and returns its exit code.

    Raises:
        TrainersError: as `remote.follow` has it.
    """
    return follow(where, where.find(tell), job_id, place, tell)


def stop_job(where: Where, job_id: str, tell: Tell) -> None:
    """Stops a job, waits for its end and says how it ended.

    Raises:
        RequestError: the cluster cannot be reached, refuses, or does not know the job.
    """
    job, ran = remote.stop(where.find(tell), job_id)
    tell(f"{job_id}: {job.status}{'' if ran else ', before it was asked to stop'}")


def _row(job: remote.Job) -> tuple[str, ...]:
    started = "" if job.started is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started))
    seconds = "" if job.seconds is None else f"{job.seconds:.0f}"
    command = " ".join(job.entrypoint.split())
    return job.id, job.status, started, seconds, command if len(command) <= WIDTH else f"{command[: WIDTH - 1]}…"
