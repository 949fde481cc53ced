"""Tracking against real stores: SQLite, and an MLflow server that goes away and comes back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainers import tracking
from trainers.tracking import Recorder
from trainers.tracking.client import away


class Server:
    """A real MLflow server on a port that is kept for it, which can be frozen, killed and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.uri = f"http://127.0.0.1:{port}"
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
        until(self._answers)

    def freeze(self) -> None:
        """Connections are taken, and nothing is ever answered."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """As a crash would: at once, with all its children."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        return away(self.uri, wait_s=60.0) is None


def until(true: Callable[[], bool]) -> None:
    """Waits for something that must come; the test's deadline is the only one."""
    while not true():
        time.sleep(0.1)


def record(uri: str, folder: Path, **options: Any) -> Recorder:
    arguments = {"params": {"seed": 1}, "tags": {"command": "train"}, "system_metrics": False, **options}
    return Recorder.start(uri, "pets", lambda run_id: folder / run_id, "a run", **arguments)


def run_of(uri: str, run_id: str) -> Any:
    return tracking.connect(uri).get_run(run_id)


def steps(uri: str, run_id: str, metric: str = "train/loss") -> list[int]:
    return [found.step for found in tracking.connect(uri).get_metric_history(run_id, metric)]
