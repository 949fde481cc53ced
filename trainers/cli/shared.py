"""What the command lines have in common: the flags that name a cluster, and lines for people on standard error."""

import argparse
import os
import sys
from collections.abc import Callable

from trainers.errors import Interrupted, TrainersError


def add_remote(parser: argparse.ArgumentParser, default: str = "here") -> None:
    """Adds the flags --on, --token and --pass-env.

    Args:
        default: what happens without --on.
    """
    add_cluster(parser, default)
    parser.add_argument(
        "--pass-env",
        action="append",
        default=[],
        metavar="NAME",
        help="with --on, pass this environment variable too; whoever may list the cluster's jobs can read it",
    )


def add_cluster(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds the flags --on and --token."""
    parser.add_argument(
        "--on", metavar="URL", help=f"the cluster whose Ray dashboard is at http://HOST:8265 (default: {default})"
    )
    parser.add_argument(
        "--token",
        metavar="FILE",
        help="its token: a file, or k8s:[NAMESPACE/]SECRET (default: RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, "
        "~/.ray/auth_token)",
    )


def tell(line: str) -> None:
    """A line for the person, beside the work's own output."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def guard(work: Callable[[], int]) -> int:
    """Does the work and returns its exit code; errors that a person is meant to read are told, without a traceback."""
    try:
        return work()
    except TrainersError as error:
        for line in str(error).splitlines():
            tell(f"{'stopped' if isinstance(error, Interrupted) else 'error'}: {line}")
        return error.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except BrokenPipeError:  # the reader of our output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
