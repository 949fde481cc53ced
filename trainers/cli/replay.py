"""`trainers replay`."""

import argparse
from pathlib import Path

ABOUT = "send to MLflow what a run could not send"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the run's folder, such as runs/training/RUN")
    parser.add_argument("--uri", help="MLflow tracking URI (default: the run's)")


def run(arguments: argparse.Namespace) -> int:
    from trainers.tracking import replay

    count = replay(arguments.folder, arguments.uri)
    print(f"sent {count} records of {arguments.folder}")  # noqa: T201
    return 0
