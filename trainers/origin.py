"""Where a run comes from: the command that this process was called by, its version, and who sent it here."""

import os
import shlex
import subprocess
import sys

import trainers

# What a job can tell of its sender: the version, and the flags by which the sender names cluster and experiment.
SENT_BY, SENT_TO = "TRAINERS_SENT_BY", "TRAINERS_SENT_TO"


def command(verb: str, *arguments: object) -> str:
    """The command line that calls a verb of this job; if it was sent here with --on, it is sent so again."""
    there = shlex.split(os.environ.get(SENT_TO, ""))
    return " ".join(["python", shlex.quote(sys.argv[0]), verb, *map(str, arguments), *map(shlex.quote, there)])


def origin() -> dict[str, str]:
    """Where a run comes from: library version, git commit of the working folder, command line."""
    tags = {"trainers.version": trainers.__version__, "command": shlex.join(sys.argv)}
    for name, arguments in {"git.commit": ["rev-parse", "HEAD"], "git.dirty": ["status", "--porcelain"]}.items():
        try:
            answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return tags  # not a checkout, or no git: as on a cluster
        tags[name] = answer.strip() if name == "git.commit" else str(bool(answer.strip())).lower()
    return tags
