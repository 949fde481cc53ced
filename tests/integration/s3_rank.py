"""One of two ranks whose machines share nothing but S3, in a process of its own."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from trainers.data import open_pack
from trainers.engine import Job, World, work
from trainers.events import EpochDone, Restored, Tested
from trainers.experiment import Experiment

OPTIONS = {
    "data": {"source": "spiral"},
    "model": {"name": "mlp", "hidden": [16]},
    "training": {"epochs": 4, "batch_size": 64},
    "storage": {"path": "s3://kept/ranks"},
}


def main(rank: int, meeting: Path, cache: Path, until: int) -> None:
    """Trains up to an epoch, after which the process is gone, or to the end; prints what it was told."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=2)
    experiment = Experiment.model_validate(OPTIONS)
    job = Job(experiment, cache / "training" / "run", cache, open_pack(experiment.data, cache).key)
    told: dict[str, object] = {"losses": {}}
    for event in work(job, World(rank, 2)):
        if isinstance(event, Restored):
            told["restored"] = event.epoch
        elif isinstance(event, EpochDone):
            told["losses"][int(event.row["epoch"])] = event.row["train/loss"]
            if event.row["epoch"] == until:
                break
        elif isinstance(event, Tested):
            told["tested"] = event.metrics
    print(json.dumps(told))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
