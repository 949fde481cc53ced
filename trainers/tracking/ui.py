"""The MLflow UI on the local store."""

import os
import sys
from pathlib import Path

from trainers.errors import RequestError
from trainers.tracking.client import DATABASE, quiet, sqlite_uri


def serve_ui(storage: Path, port: int) -> None:
    """Becomes the MLflow server of the SQLite store in `storage`, on 127.0.0.1 alone, until it is stopped.

    Raises RequestError: nothing was recorded there yet.
    """
    file = storage / DATABASE
    if not file.is_file():
        raise RequestError(f"ui: nothing is recorded in {storage} yet; train first, or give another --storage")
    quiet()
    # The server's job runner serves evaluations of language models; it would cost a process and its memory.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    options = ["--backend-store-uri", sqlite_uri(file), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # In the place of this process, so that Ctrl-C and signals are the server's own.
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *options])
