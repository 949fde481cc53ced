"""`--on URL`: a job's command line, done on a remote cluster as it would be done here."""

import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trainers
from trainers import summary
from trainers.errors import Interrupted
from trainers.origin import SENT_BY, SENT_TO
from trainers.remote import jobs as remote
from trainers.remote.package import Package, pack
from trainers.remote.travel import Environment

# Flags that are for this machine; all have a value.
HERE = ("--on", "--token", "--pass-env", "--summary", "--config")

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Command:
    """What is to be done.

    Attributes:
        job: the job's file.
        config: the experiment's file.
        verb: what to do.
        argv: the command line behind the verb, as it was given.
        env: what the job gets of this shell's environment.
    """

    job: Path
    config: Path
    verb: str
    argv: Sequence[str]
    env: Environment


@dataclass(frozen=True)
class Where:
    """A cluster as the command line names it."""

    url: str | None
    token: str | None

    def find(self, tell: Tell) -> remote.Target:
        """The cluster; warns of a token that others could read on its way.

        Raises RequestError: the URL or the token is none.
        """
        target = remote.find_target(self.url, self.token)
        if target.is_exposed:
            tell(f"warning: the token travels unencrypted to {target.url}; use https://, or forward its port")
        return target

    @property
    def flags(self) -> list[str]:
        """The part of a command line that names it."""
        given = {"--on": self.url, "--token": self.token}
        return [part for flag, value in given.items() if value is not None for part in (flag, value)]

    def command(self, action: str, job_id: str, place: Path | None = None) -> str:
        """The command line that follows or stops a job."""
        summary = [] if place is None else ["--summary", str(place)]
        return shlex.join(["trainers", "jobs", action, job_id, *self.flags, *summary])


def send(where: Where, command: Command, place: Path | None, tell: Tell) -> int:
    """Submits a job, or finds it running already, follows it to its end and returns its exit code.

    Args:
        place: where the job's summary is written, if anywhere.
        tell: gets the lines that are not the job's own.

    Raises TrainersError: as `remote.submit` and `remote.follow` have it.
    """
    target = where.find(tell)
    package, env = pack(command.job, command.config), command.env
    work = _work(command, package, where)
    job_id, started = remote.submit(target, work)
    tell(f"job         {job_id}{'' if started else ' runs already: it is followed, not started again'}")
    if started:
        tell(f"sent        {package.about}")
    if started and env.values:
        tell(f"passed on   {', '.join(env.values)}")
    if env.passed:
        tell(f"warning: whoever may list the cluster's jobs can read {', '.join(env.passed)}")
    if env.left:
        tell(f"left out    {', '.join(env.left)}: means this machine; the cluster has its own setting, or none")
    return follow(where, target, job_id, place, tell)


def follow(where: Where, target: remote.Target, job_id: str, place: Path | None, tell: Tell) -> int:
    """Follows a job to its end and returns its exit code; Ctrl-C leaves it running and says how to come back.

    Args:
        place: where the job's summary is written, if anywhere.

    Raises TrainersError: as `remote.follow` has it.
    """
    log = remote.JobLog(job_id, _write)
    try:
        code = remote.follow(target, job_id, log, tell)
    except KeyboardInterrupt:
        tell(f"detached: the job goes on; follow it again: {where.command('follow', job_id, place)}")
        tell(f"          stop it: {where.command('stop', job_id)}")
        return Interrupted.exit_code
    if log.summary is not None:
        summary.write(json.loads(log.summary), place)
    elif place is not None:
        tell(f"warning: the job left no summary, so {place} is not written")
    return code


def _work(command: Command, package: Package, where: Where) -> remote.Work:
    """What Ray is to do; its name is the same for the same command."""
    job, values = command.job, dict(command.env.values)
    argv = ["python", f"jobs/{job.name}", command.verb, *_for_there(command.argv), "--summary", "-"]
    digest = hashlib.sha256(json.dumps([package.name, argv, values], sort_keys=True).encode()).hexdigest()
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", f"{job.stem}-{command.verb}-{digest[:8]}")
    other = command.config != job.with_suffix(".yaml")
    flags = [*(["--config", str(command.config)] if other else []), *where.flags]
    sender = {SENT_BY: trainers.__version__, SENT_TO: shlex.join(flags)}
    return remote.Work(name, argv, values | sender, (package.name, package.content))


def _for_there(argv: Sequence[str]) -> list[str]:
    """The command line without what is for this machine."""
    kept, arguments = [], iter(argv)
    for argument in arguments:
        flag, joined, _ = argument.partition("=")
        if flag.replace("_", "-") not in HERE:
            kept.append(argument)
        elif not joined:
            next(arguments, None)
    return kept


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
