"""What is done with jobs on a remote cluster; Ray is not imported, so that a wrong flag is told quickly."""

import asyncio
import difflib
import secrets
import shlex
import signal
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainers.errors import RequestError, WorkError
from trainers.remote.client import Client, SubmittedJob, last_line
from trainers.remote.follow import PAUSE_SECONDS, JobLog, Tell
from trainers.remote.follow import follow as follow_log
from trainers.remote.target import Target, find_target

__all__ = [
    "JobLog",
    "SubmittedJob",
    "Target",
    "Work",
    "find_target",
    "follow",
    "list_jobs",
    "run_there",
    "stop",
    "submit",
]

# Ray gives a stopped job 3 s before it kills it, too few to end its record in MLflow. The job's environment decides.
STOP_SECONDS = {"RAY_JOB_STOP_WAIT_TIME_S": "60"}
ATTEMPTS = 3  # to submit: an answer may get lost on its way

Result = TypeVar("Result")


@dataclass(frozen=True)
class Work:
    """What a job is to do.

    Attributes:
        name: of the job: letters, digits, dots, dashes; where there was one of that name, a number is added.
        argv: its command line.
        env: variables that it gets besides the cluster's own; whoever may list the cluster's jobs can read them.
        package: a zip file that is its working folder, and the file's name; None: it runs in a folder of the image.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    package: tuple[str, bytes] | None = field(default=None, repr=False)


def submit(target: Target, work: Work) -> tuple[str, bool]:
    """Starts a job, unless the last of that name still runs.

    So the same work is never done twice at a time, also where the answer to the first submission got lost.

    Returns:
        The job's id, and whether it was started now.

    Raises RequestError: the cluster cannot be reached, or refuses.
    """

    async def submit_it() -> tuple[str, bool]:
        async with Client(target) as client:
            return await _submit(client, work)

    return _call(submit_it())


def follow(target: Target, job_id: str, log: JobLog, tell: Tell) -> int:
    """Follows a job's log to its end and returns its exit code: its command's, 130 if it was stopped.

    Ctrl-C and SIGTERM end only the following: KeyboardInterrupt.

    Args:
        tell: gets lines that are not the job's own, about the connection or what a pending job waits for.

    Raises:
        RequestError: the cluster refuses, or does not know the job.
        WorkError: the job failed before its command ran, or the cluster went away.
    """

    async def work() -> SubmittedJob:
        async with Client(target) as client:
            await _find(client, job_id)
            return await follow_log(client, job_id, log, tell)

    return _exit_code(_call(work()))


def list_jobs(target: Target) -> list[SubmittedJob]:
    """All jobs that were submitted to the cluster, the oldest first.

    Raises RequestError: the cluster cannot be reached, or refuses.
    """

    async def work() -> list[SubmittedJob]:
        async with Client(target) as client:
            await client.version()
            return await client.jobs()

    return _call(work())


def stop(target: Target, job_id: str) -> tuple[SubmittedJob, bool]:
    """Stops a job and waits until it has ended.

    Returns:
        The job, and whether it still ran when it was asked to stop.

    Raises RequestError: the cluster cannot be reached, refuses, or does not know the job.
    """

    async def work() -> tuple[SubmittedJob, bool]:
        async with Client(target) as client:
            job = await _find(client, job_id)
            ran = not job.has_ended
            if ran:
                await client.stop(job_id)
            while not job.has_ended:
                await asyncio.sleep(PAUSE_SECONDS)
                job = await _find(client, job_id)
            return job, ran

    return _call(work())


def run_there(target: Target, argv: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command of the cluster's own image on its head, without sending code, and waits for its end.

    Args:
        argv: such as ["trainers", "doctor", "--json"].
        env: variables that it gets besides the cluster's own.

    Returns:
        Its exit code and what it printed, standard error included.

    Raises:
        RequestError: the cluster cannot be reached or refuses the token.
        WorkError: the job failed before the command ran, or the cluster went away.
    """
    name = f"{'-'.join(argv[:2])}-{secrets.token_hex(4)}"  # each time anew
    said: list[str] = []
    job_id, _ = submit(target, Work(name, argv, env))
    code = follow(target, job_id, JobLog(job_id, said.append), lambda line: None)
    return code, "".join(said)


async def _submit(client: Client, work: Work) -> tuple[str, bool]:
    await client.version()  # is it a Ray dashboard, and does it let us in?
    runtime_env: dict[str, Any] = {"env_vars": {**STOP_SECONDS, **work.env}}
    if work.package is not None:
        runtime_env["working_dir"] = await client.upload(*work.package)
    job_id, number, failures = work.name, 1, 0
    while True:
        job = await client.job(job_id)
        if job is not None and not job.has_ended:
            return job_id, False
        if job is not None:
            number += 1
            job_id = f"{work.name}-{number}"
            continue
        try:
            await client.submit(job_id, shlex.join(work.argv), runtime_env)
            return job_id, True
        except RequestError:  # perhaps it was started all the same, now or by another: that is looked up
            failures += 1
            if failures == ATTEMPTS:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


async def _find(client: Client, job_id: str) -> SubmittedJob:
    job = await client.job(job_id)
    if job is None:
        await client.version()
        known = [job.id for job in await client.jobs()]
        near = difflib.get_close_matches(job_id, known, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `trainers jobs` lists those there are"
        raise RequestError(f"{job_id}: no such job at {client.target.url}{hint}")
    return job


def _exit_code(job: SubmittedJob) -> int:
    if job.status == "STOPPED":
        return 130
    if job.status == "FAILED" and job.exit_code is None:
        raise WorkError(f"{job.id}: {last_line(job.message)}")
    code = job.exit_code or 0
    return code if code >= 0 else 128 - code  # killed by a signal: as shells count it


def _call(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs to the end; SIGTERM interrupts it as Ctrl-C does."""

    async def interruptible() -> Result:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, signal.raise_signal, signal.SIGINT)
        return await work

    return asyncio.run(interruptible())
