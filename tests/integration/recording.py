"""Tracking against real stores: SQLite, and an MLflow server that goes away and comes back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers import tracking
from trainers.tracking import Recorder


class Server:
    """A real MLflow server on a free port of this machine, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        store = ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", "artifacts"]
        command = [sys.executable, "-m", "mlflow", "server", *store, "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            )
        until(self._healthy, 90)

    def kill(self) -> None:
        """As a crash would: at once, with all its children."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def record(uri: str, folder: Path, **options: Any) -> Recorder:
    arguments = {"params": {"seed": 1}, "tags": {"command": "train"}, "system_metrics": False, **options}
    return Recorder.start(uri, "pets", lambda run_id: folder / run_id, "a run", **arguments)


def run_of(uri: str, run_id: str) -> Any:
    return tracking.connect(uri).get_run(run_id)


def steps(uri: str, run_id: str, metric: str = "train/loss") -> list[int]:
    return [found.step for found in tracking.connect(uri).get_metric_history(run_id, metric)]
