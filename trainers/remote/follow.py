"""Follows the log of a job on a remote cluster to the job's end, over broken connections."""

import asyncio
import json
import time
from collections.abc import Callable

from trainers.errors import WorkError
from trainers.remote.client import Client, SubmittedJob, Unreachable
from trainers.summary import MARK

PATIENCE_SECONDS = 120  # without the dashboard
PENDING_SECONDS = 5  # then it is said what a job waits for
PAUSE_SECONDS = 1.0
ATTEMPTS = 3  # to read the log of a job that has ended: the machine that has it may be gone

Tell = Callable[[str], None]


class JobLog:
    """A job's log as it comes, in pieces: its lines go to `write`, without Ray's own and the summary.

    Attributes:
        summary: the JSON text that the job printed last, by `--summary -`; None before.
    """

    def __init__(self, job_id: str, write: Tell) -> None:
        self.summary: str | None = None
        self.length = 0
        self._write, self._rest = write, ""
        self._begin: str | None = f"Running entrypoint for job {job_id}: "  # Ray's last line before the job's first

    def add(self, text: str) -> None:
        """Takes the next piece."""
        self.length += len(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._take(line, "\n")

    def end(self) -> None:
        """Writes a last line that was not ended."""
        if self._rest:
            self._take(self._rest, "")
            self._rest = ""

    def _take(self, line: str, end: str) -> None:
        if self._begin is not None:
            self._begin = None if line.startswith(self._begin) else self._begin
        elif line.startswith(MARK) and _is_object(line.removeprefix(MARK)):
            self.summary = line.removeprefix(MARK)
        else:
            self._write(line + end)


async def follow(client: Client, job_id: str, log: JobLog, tell: Tell) -> SubmittedJob:
    """Reads a job's log to its end and returns the job, which has ended.

    Where the connection breaks, it goes on from where the log stood.

    Args:
        tell: gets lines about the job and the connection, which are not the job's own.

    Raises:
        RequestError: the cluster refuses.
        WorkError: it does not know the job (any more), or was away for two minutes.
    """
    begun, failures = time.monotonic(), 0
    told = False
    while True:
        job = await _find(client, job_id, tell)
        if job.status == "PENDING":
            if not told and time.monotonic() - begun > PENDING_SECONDS:
                told = True
                tell(f"pending: {job.message}")
        elif await _read(client, job_id, log):
            job = await _find(client, job_id, tell)
            if job.has_ended:
                break
        else:
            failures += job.has_ended
            if failures == ATTEMPTS:
                tell("the rest of its log cannot be read: the machine that has it does not answer")
                break
        await asyncio.sleep(PAUSE_SECONDS)
    log.end()
    return job


async def _find(client: Client, job_id: str, tell: Tell) -> SubmittedJob:
    """The job as it is now, with patience for a dashboard that is away."""
    lost: float | None = None
    while True:
        try:
            job = await client.job(job_id)
            break
        except Unreachable as error:
            if lost is None:
                lost = time.monotonic()
                tell(f"{error}; trying again for {PATIENCE_SECONDS} s")
            elif time.monotonic() - lost > PATIENCE_SECONDS:
                raise WorkError(f"{error}; given up after {PATIENCE_SECONDS} s") from None
        await asyncio.sleep(PAUSE_SECONDS)
    if lost is not None:
        tell("connected again")
    if job is None:
        raise WorkError(f"{job_id}: {client.target.url} does not know this job; was the cluster started anew?")
    return job


async def _read(client: Client, job_id: str, log: JobLog) -> bool:
    """Reads on in a log; whether it came to its end."""
    skip = log.length
    try:
        async for text in client.tail(job_id):
            log.add(text[skip:])
            skip = max(0, skip - len(text))
    except Unreachable:
        return False
    return True


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
