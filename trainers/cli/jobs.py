"""`trainers jobs`: lists, follows and stops what runs on a cluster."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.cli.shared import add_cluster, tell
from trainers.display import aligned
from trainers.errors import RequestError
from trainers.summary import check_place

if TYPE_CHECKING:
    from trainers.remote.client import SubmittedJob

ABOUT = "what runs on a cluster: list it, follow it, stop it"
CLUSTER = "RAY_API_SERVER_ADDRESS, or http://127.0.0.1:8265"
WIDTH = 60  # of a command line that is shown


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "follow", "stop"),
        default="list",
        help="list (the default); follow ID: its log from the beginning, and its exit code; stop ID: as Ctrl-C would",
    )
    parser.add_argument("id", nargs="?", metavar="ID", help="of a job, as --on and list show it")
    add_cluster(parser, CLUSTER)
    parser.add_argument("--summary", type=Path, metavar="FILE", help="follow: write what came out as JSON")


def run(arguments: argparse.Namespace) -> int:
    from trainers.remote import jobs, send

    where = send.Where(arguments.on, arguments.token)
    if arguments.action == "list":
        if arguments.id is not None or arguments.summary is not None:
            raise RequestError("jobs list: takes no id and no --summary; `follow ID` shows one job")
        target = where.find(tell)
        _show(jobs.list_jobs(target), target.url)
        return 0
    if arguments.id is None:
        raise RequestError(f"jobs {arguments.action}: name the job's id; `trainers jobs` lists them")
    if arguments.action == "stop":
        job, ran = jobs.stop(where.find(tell), arguments.id)
        tell(f"{job.id}: {job.status}{'' if ran else ', before it was asked to stop'}")
        return 0
    check_place(arguments.summary)
    return send.follow(where, where.find(tell), arguments.id, arguments.summary, tell)


def _show(jobs: "list[SubmittedJob]", url: str) -> None:
    """A table of jobs, the oldest first."""
    if not jobs:
        tell(f"no job was submitted to {url}")
        return
    rows = [("id", "state", "started", "seconds", "command"), *map(_row, jobs)]
    print("\n".join(aligned(rows)))  # noqa: T201


def _row(job: "SubmittedJob") -> tuple[str, ...]:
    started = "" if job.started is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.started))
    seconds = "" if job.seconds is None else f"{job.seconds:.0f}"
    command = " ".join(job.entrypoint.split())
    return job.id, job.status, started, seconds, command if len(command) <= WIDTH else f"{command[: WIDTH - 1]}…"
