"""`trainers ui`."""

import argparse
from pathlib import Path

ABOUT = "the MLflow UI on the local store"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="as storage.path (default: runs)")
    parser.add_argument("--port", type=int, default=5000, help="on 127.0.0.1 (default: 5000)")


def run(arguments: argparse.Namespace) -> int:
    from trainers.tracking import serve_ui

    serve_ui(arguments.storage.resolve(), arguments.port)
    return 0
