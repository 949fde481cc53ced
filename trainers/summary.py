"""What came out of a run, for scripts: the JSON object of `--summary FILE`, or of the last line with `--summary -`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trainers.errors import RequestError

STDOUT = Path("-")
MARK = "summary "  # what the line begins with
PHASES = ("plan", "pack", "start", "train", "evaluate", "register", "total")


@dataclass
class RegisteredModel:
    """The model version that the best weights became; None where nothing was registered."""

    name: str | None = None
    version: str | None = None
    alias: str | None = None


@dataclass
class Summary:
    """The fields of the JSON object, in its order. Times in seconds; `status` is MLflow's.

    Of a sweep all is of its best trial but `sweep`: its name, how many trials there were and how they ended, and the
    searched options of the best.
    """

    run_id: str | None = None
    status: str = "FAILED"
    model: RegisteredModel = field(default_factory=RegisteredModel)
    metrics: dict[str, dict[str, float]] = field(default_factory=lambda: {"train": {}, "validation": {}, "test": {}})
    seconds: dict[str, float | None] = field(default_factory=lambda: dict.fromkeys(PHASES))
    samples_per_second: float | None = None
    world_size: int | None = None
    global_batch: int | None = None
    micro_batch: int | None = None
    checkpoint: str | None = None
    sweep: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._started = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures how long a phase takes; several parts of one phase add up."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = (self.seconds[name] or 0.0) + time.perf_counter() - started

    def write(self, path: Path | None) -> None:
        """Writes the object, to `-` as a line `summary {…}`."""
        self.seconds["total"] = time.perf_counter() - self._started
        write(asdict(self), path)


def check_place(path: Path | None) -> None:
    """Checks early that a summary can be written.

    Raises RequestError: its folder is not there.
    """
    if path not in (None, STDOUT) and not path.absolute().parent.is_dir():
        raise RequestError(f"--summary: no folder {path.parent} to write into")


def write(summary: dict[str, Any], path: Path | None) -> None:
    """Writes a summary's object to a file, whole or not at all; to `-` as a line `summary {…}` of standard output."""
    if path == STDOUT:
        print(MARK + json.dumps(summary), flush=True)  # noqa: T201
    elif path is not None:
        aside = path.with_name(f".{path.name}.tmp")
        aside.write_text(json.dumps(summary, indent=2) + "\n")
        aside.replace(path)
