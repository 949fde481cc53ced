"""How many trials a sweep does in a minute, against the same trials as runs of their own, right after it.

    python tests/bench/sweep.py [--trials N] [--alone M] [--epochs E] [--photos dogs-vs-cats.zip --weights FILE]

Without photos the trials are of the spiral; with them, of a SqueezeNet's last layer (`--preset features`). The data is
packed before the clock runs; what the frozen layers make of it is part of the sweep. A run of its own also tests and
registers its weights, which a sweep does once. Only the first M trials are trained alone; by default, all.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[2]
SPACE = {"optimizer.lr": {"loguniform": [1e-4, 1e-2]}, "training.batch_size": {"choice": [32, 64, 128, 256]}}


@dataclass
class Swept:
    """What a sweep took, in seconds, and the options of its trials as flags, in their order."""

    total: float
    first_step: float
    gaps: list[float]
    concurrent: int
    options: list[list[str]]


def main() -> None:
    asked = _arguments()
    job, common = _job(asked)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run(job, ["plan", *common], folder)  # packs
        print(_load())
        swept = _sweep(job, common, asked.trials, folder)
        print(_load())
        alone = [_run(job, ["train", *common, *options], folder)[0] for options in swept.options[: asked.alone]]
        print(_load())
    together, apart = 60 * asked.trials / swept.total, 60 / statistics.mean(alone)
    print(f"{'trials per minute':<36}{together:>8.1f}   a sweep of {asked.trials}, {swept.concurrent} at a time")
    print(
        f"{'':<36}{apart:>8.1f}   runs of their own, {len(alone)} of them, {min(alone):.1f} to {max(alone):.1f} s each"
    )
    print(f"{'a sweep is faster by':<36}{together / apart:>8.1f}")
    print(f"{'seconds to the first trial’s begin':<36}{swept.first_step:>8.1f}   after the start of the process")
    if swept.gaps:
        median, most = statistics.median(swept.gaps), max(swept.gaps)
        print(f"{'seconds between two trials':<36}{median:>8.2f}   median; {most:.2f} at most")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--alone", type=int, help="how many of them are trained alone, too")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--photos", type=Path, help="dogs-vs-cats.zip")
    parser.add_argument("--weights", type=Path, help="of a SqueezeNet 1.0 that knows ImageNet")
    asked = parser.parse_args()
    if (asked.photos is None) != (asked.weights is None):
        parser.error("--photos and --weights go together")
    return asked


def _job(asked: argparse.Namespace) -> tuple[str, list[str]]:
    """The job, and the options that the sweep and the runs have in common."""
    common = ["--training.epochs", str(asked.epochs), "--scale.cpus-per-worker", "1"]
    if asked.photos is None:
        return "spiral", common
    photos = ["--data.source", "dogs-vs-cats", "--data.path", str(asked.photos.resolve())]
    return "catsdogs", [*common, "--preset", "features", "--model.weights", str(asked.weights.resolve()), *photos]


def _sweep(job: str, common: list[str], trials: int, folder: Path) -> Swept:
    search = ["--search.space", json.dumps(SPACE), "--search.trials", str(trials), "--search.scheduler", "none"]
    begun = time.time()
    total, output = _run(job, ["tune", *common, *search], folder)
    (table,) = folder.glob("runs/sweeps/*/trials.csv")
    rows = sorted(csv.DictReader(table.open()), key=lambda row: int(row["trial"]))
    spans = [_span(folder, row) for row in rows]
    (concurrent,) = re.findall(r"(\d+) at a time", output)
    return Swept(
        total,
        min(begin for begin, _ in spans) - begun,
        _gaps(spans),
        int(concurrent),
        [[word for path in SPACE for word in (f"--{path.replace('_', '-')}", row[path])] for row in rows],
    )


def _span(folder: Path, trial: dict[str, str]) -> tuple[float, float]:
    """When a trial's first epoch began and its last one ended, in seconds since 1970."""
    (record,) = folder.glob("runs/sweeps/*/trials.jsonl")
    news = map(json.loads, record.read_text().splitlines())
    (ended,) = [one for one in news if one["kind"] == "ended" and one["trial"] == int(trial["trial"])]
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    times = [metric.timestamp / 1000 for metric in client.get_metric_history(trial["run_id"], "train/loss")]
    return min(times) - ended["history"][0]["seconds"], max(times)


def _gaps(spans: list[tuple[float, float]]) -> list[float]:
    """From the end of a trial to the first epoch of the one in its place: the trial that ended last before it began."""
    gaps, ends = [], sorted(end for _, end in spans)
    for begin, _ in sorted(spans):
        if before := [end for end in ends if end <= begin]:
            ends.remove(before[-1])
            gaps.append(begin - before[-1])
    return gaps


def _run(job: str, arguments: list[str], folder: Path) -> tuple[float, str]:
    """Seconds that a job took, and what it printed."""
    command = [sys.executable, str(ROOT / "jobs" / f"{job}.py"), *arguments]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout)
    return time.perf_counter() - begun, done.stdout


def _load() -> str:
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} in the last minute, {five:.1f} in five, on {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
