"""How long a run on two Ray workers takes to its first step and from its last report to its end.

Prints both beside Ray's own minimal script on the same machine, in turns, since neighbours slow a machine at times:

    python tests/bench/start_and_end.py [ROUNDS]
"""

import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MINIMAL = """
import time; begun = time.time()
import ray, ray.train, torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

def work():
    import ray.train.torch
    model = ray.train.torch.prepare_model(torch.nn.Linear(3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.zeros(2, 3)).sum().backward()
    optimizer.step()
    if ray.train.get_context().get_world_rank() == 0:
        open(FILE, "w").write(str(time.time()))
    ray.train.report({"done": 1})

ray.init(address="local", num_cpus=2, include_dashboard=False)
TorchTrainer(work, scaling_config=ScalingConfig(num_workers=2), run_config=RunConfig(storage_path=FOLDER)).fit()
ray.shutdown()
stepped = float(open(FILE).read())
print("SECONDS", stepped - begun, stepped)
"""


def minimal(folder: Path) -> tuple[float, float]:
    """Seconds from the script's start to the first step, and from there to the end of the process."""
    code = f"FOLDER, FILE = {str(folder / 'ray')!r}, {str(folder / 'stepped')!r}\n{MINIMAL}"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    ended = time.time()
    start, stepped = map(float, re.findall(r"SECONDS (\S+) (\S+)", output)[-1])
    return start, ended - stepped


def ours(folder: Path) -> tuple[float, float]:
    """`seconds.start` of a run whose pack is there, and seconds from its last epoch to the end of the process."""
    command = [sys.executable, ROOT / "jobs" / "catsdogs.py", "--scale.workers", "2", "--training.epochs", "2"]
    with subprocess.Popen(
        [*command, "--summary", "summary.json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as job:
        last = next(time.time() for line in job.stdout or () if line.startswith("epoch 2/2"))
        for _ in job.stdout or ():
            pass
    ended = time.time()
    return json.loads((folder / "summary.json").read_text())["seconds"]["start"], ended - last


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours(folder)  # draws and packs
        measured = [(ours(folder), minimal(folder)) for _ in range(rounds)]
    print(f"{'seconds':<28}{'this project':>14}{'Ray minimal':>14}   median of {rounds}")
    for place, what in enumerate(("start to first step", "last report to end")):
        mine, rays = (statistics.median(row[side][place] for row in measured) for side in (0, 1))
        print(f"{what:<28}{mine:>14.1f}{rays:>14.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
