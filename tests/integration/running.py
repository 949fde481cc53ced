"""Jobs run as people run them: `python jobs/catsdogs.py …` in a process of its own, in an empty folder."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
JOB = ROOT / "jobs" / "catsdogs.py"
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
    random = np.random.default_rng(0)
    for label in ("bright", "dark"):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 160, (24, 24, 3), dtype=np.uint8)
            pixels[:10, :10] += 90 if label == "bright" else 0
            Image.fromarray(pixels).save(folder / label / f"{index:03d}.png")
    return folder


class Running:
    """A job that runs; its output is read line by line as it comes."""

    def __init__(self, arguments: Sequence[object], cwd: Path, **environment: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(JOB), *map(str, arguments)],
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


def clean_environment() -> dict[str, str]:
    """Without what would send a job elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TRAINERS__", "MLFLOW_", "RAY_", "AWS_"))
    }


def summary_of(path: Path) -> dict:
    return json.loads(path.read_text())
