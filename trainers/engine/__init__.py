"""The training loop in plain PyTorch: one process or one rank of many, without Ray and without MLflow."""

from trainers.engine.checkpoint import CheckpointStore
from trainers.engine.job import Job
from trainers.engine.lr_curve import LrCurve
from trainers.engine.lr_finder import RangeTest
from trainers.engine.worker import work, work_alone, work_here
from trainers.engine.world import World
