"""Jobs run as people run them: `python jobs/NAME.py …` in a process of its own or in this one; and a Ray cluster."""

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import psutil
from PIL import Image
from ports import kept
from settings import without_settings

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
SMALL = (
    "--data.image-size",
    "16",
    "--training.batch-size",
    "16",
    "--training.epochs",
    "2",
    "--scale.cpus-per-worker",
    "1",
)


def draw_photos(folder: Path, count: int = 60) -> Path:
    """Photos of two classes, bright and dark in a corner, one folder each."""
    numbers = np.random.default_rng(0)
    for label in ("bright", "dark"):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            pixels = numbers.integers(0, 160, (24, 24, 3), dtype=np.uint8)
            pixels[:10, :10] += 90 if label == "bright" else 0
            Image.fromarray(pixels).save(folder / label / f"{index:03d}.png")
    return folder


class Running:
    """A job that runs; its output is read line by line as it comes.

    Args:
        job: its name, or its file.
    """

    def __init__(
        self, arguments: Sequence[object], cwd: Path, job: str | Path = "catsdogs", **environment: str
    ) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(JOBS / f"{job}.py" if isinstance(job, str) else job), *map(str, arguments)],
            cwd=cwd,
            env=clean_environment() | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that it can be interrupted, or ended, with all that it started
        )

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def read_until(self, text: str) -> str:
        """Reads on to the line that holds a text."""
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"the job ended without saying {text!r}:\n{self.output}")

    def wait(self) -> int:
        self.lines += list(self.process.stdout)
        return self.process.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*self.children(), psutil.Process(self.process.pid)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        self.process.wait()


class Hold:
    """Keeps jobs, from the start of their processes on, from going beyond a checkpoint (`held/sitecustomize.py`).

    Attributes:
        environment: of a job that heeds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "hold"
        self.environment = {"HOLD": str(self._file), "PYTHONPATH": python_path("held")}

    def before(self, pattern: str) -> "Hold":
        """No checkpoint is kept from now on whose path ends so."""
        aside = self._file.with_name("hold.new")
        aside.write_text(pattern)
        aside.replace(self._file)
        return self

    def release(self) -> None:
        """All go on."""
        self._file.unlink(missing_ok=True)


def python_path(folder: str) -> str:
    """PYTHONPATH with one of the folders here that change what Python does at its start."""
    return os.pathsep.join(filter(None, (str(Path(__file__).with_name(folder)), os.environ.get("PYTHONPATH"))))


def run_here(job: str, *arguments: object, cwd: Path, code: int = 0) -> str:
    """Runs a job in this process, which has paid for the imports; returns what it printed.

    Args:
        code: the exit code that it must have.
    """
    from trainers.cli import run

    path, argv = str(JOBS / f"{job}.py"), [str(argument) for argument in arguments]
    logger = logging.getLogger("trainers")  # the job sets it up for itself; other tests listen to it
    before = logger.handlers, logger.level, logger.propagate
    output = io.StringIO()
    try:
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            mock.patch.object(sys, "argv", [path, *argv]),
        ):
            found = run(path, argv)
    finally:
        logger.handlers, logger.level, logger.propagate = before
        logger.setLevel(before[1])  # clears what loggers below it remember
    assert found == code, output.getvalue()
    return output.getvalue()


@contextlib.contextmanager
def ray_cluster(**settings: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """A Ray cluster as an administrator starts it: its dashboard, its address, and an environment to use it in.

    Args:
        settings: of its environment, such as RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="…".
    """
    usual = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # nothing that runs here could go elsewhere
    }
    environment = clean_environment() | usual | settings
    with kept(4) as (port, dashboard, client, agent), ray_folder() as folder:
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2",
                   f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}",
                   f"--dashboard-agent-listen-port={agent}", f"--temp-dir={folder}"]  # fmt: skip
        log = Path(folder) / "start.log"
        with log.open("w") as written:
            head = subprocess.Popen(command, env=environment, stdout=written, stderr=subprocess.STDOUT)
        try:
            _await(f"http://127.0.0.1:{dashboard}/api/version", head)
            _await(f"http://127.0.0.1:{agent}/api/local_raylet_healthz", head)  # it runs what is submitted
            yield f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", environment
        finally:
            if head.poll() is not None:  # pytest shows it with the failure that this is the cause of
                print(f"Ray ended by itself:\n{log.read_text()}")
            end(head)


@contextlib.contextmanager
def ray_folder() -> Iterator[str]:
    """A folder for Ray, removed at the end. Its path is short: a socket's may have no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield folder


def _await(url: str, process: subprocess.Popen) -> None:
    """Waits for a server that a process starts; that it wants a token is an answer."""
    from urllib3 import PoolManager
    from urllib3.exceptions import HTTPError

    pool = PoolManager(retries=False, timeout=30)
    while process.poll() is None:
        with contextlib.suppress(HTTPError):
            if pool.request("GET", url).status not in (404, 500, 503):
                return
        time.sleep(0.1)
    raise AssertionError(f"the process ended before it served {url}")


def end(*processes: subprocess.Popen) -> None:
    """Ends processes and all that they have started: those that take it amiss, by force."""
    running = [process for process in processes if process.poll() is None]
    started = [child for process in running for child in psutil.Process(process.pid).children(recursive=True)]
    for process in running:
        process.terminate()
    _, left = psutil.wait_procs(started, timeout=5)
    for child in left:  # a head on which Ray Train has left its actor would take half a minute
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(left)
    for process in running:
        process.wait()


def clean_environment() -> dict[str, str]:
    """Without what would send a job elsewhere, which a test or a job in this process may have set."""
    return without_settings(os.environ)


def summary_of(path: Path) -> dict:
    return json.loads(path.read_text())
