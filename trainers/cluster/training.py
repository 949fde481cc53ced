"""One job under Ray Train: a worker per rank, DDP between them, their news on a queue to the driver."""

import logging
import os
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.queue import Queue

from trainers.cluster.killed import NoteKilled
from trainers.cluster.queues import make_queue
from trainers.cluster.resources import Resources
from trainers.engine import Job, World, work
from trainers.errors import TrainersError, WorkError
from trainers.events import EpochDone, Event

DONE = "done"
STOP = 0  # in place of an epoch


def train_on_ray(job: Job, resources: Resources, *, in_steps: bool = False) -> Generator[Event]:
    """Starts a job on workers; rank 0's events can be read as they come, until all workers have ended.

    A worker that dies is replaced, up to `scale.max_failures` times; the work then goes on from the last checkpoint.
    Closing the generator early leaves the workers running: end them by stopping the Runtime.

    Args:
        in_steps: after each epoch the workers wait until the next event is asked for; closing the generator there ends
            them, and returns when they have ended. Ray's TuneReportCallback lets them train on until they are killed:
            the best checkpoint that was told may then be gone, and the next trial may wait for their cores for ever,
            which Ray gives back only with the help of a dashboard.

    Raises WorkError: more workers died than may, or one raised an error.
    """
    queue, gate = make_queue(), make_queue() if in_steps else None
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            _trainer(job, resources, queue, gate).fit()
        except BaseException as error:
            failure.append(error)
        finally:
            with suppress(Exception):  # Ray was stopped meanwhile: nobody listens any more
                queue.put(DONE)

    # fit() blocks, and in the main thread it would take Ctrl-C for itself.
    fitting = threading.Thread(target=fit, name="ray-train", daemon=True)
    fitting.start()
    return _events(queue, gate, fitting, failure)


def _events(
    queue: Queue, gate: Queue | None, fitting: threading.Thread, failure: list[BaseException]
) -> Generator[Event]:
    try:
        while (event := queue.get()) != DONE:
            yield event
            if gate is not None and isinstance(event, EpochDone):
                gate.put(int(event.row["epoch"]))
    except GeneratorExit:
        if gate is not None:
            gate.put(STOP)
            fitting.join()
        raise
    fitting.join()
    if failure:
        raise WorkError(_explain(failure[0])) from failure[0]


def _trainer(job: Job, resources: Resources, queue: Queue, gate: Queue | None) -> TorchTrainer:
    options = job.experiment
    return TorchTrainer(
        _worker,
        train_loop_config={"job": job, "queue": queue, "gate": gate, "threads": resources.cpus},
        torch_config=TorchConfig(backend="nccl" if resources.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpu,
            resources_per_worker={"CPU": resources.cpus, **({"GPU": 1} if resources.gpu else {})},
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # the types are those of Ray Train V1
            # Checkpoints are the engine's own, so what Ray keeps of a run can go anywhere.
            name=job.folder.name,
            storage_path=str(job.storage / "ray"),
            failure_config=FailureConfig(max_failures=options.scale.max_failures),
            callbacks=[NoteKilled(job.mirror)],  # type: ignore[list-item]
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="DEBUG" if options.log.level == "debug" else "ERROR"),
        ),
    )


def _worker(config: dict[str, Any]) -> None:
    """What each worker runs; entered again in a new process after a failure."""
    import ray.train.torch
    import torch

    if config["job"].experiment.log.level != "debug":
        # "Reporting training result" once per epoch and rank
        logging.getLogger("ray.train").setLevel(logging.ERROR)
    if "OMP_NUM_THREADS" not in os.environ or config["threads"] > 1:
        torch.set_num_threads(config["threads"])
    context = ray.train.get_context()
    world = World(context.get_world_rank(), context.get_world_size(), ray.train.torch.get_device())
    for event in work(config["job"], world):
        if world.is_first:
            config["queue"].put(event)
        if isinstance(event, EpochDone):
            ray.train.report(event.row)  # Ray wants it of every rank alike
            if config["gate"] is not None and not _goes_on(config["gate"], int(event.row["epoch"]), world):
                return


def _goes_on(gate: Queue, epoch: int, world: World) -> bool:
    """Waits, on all ranks, until the driver wants what comes after an epoch; False if it wants no more."""
    answer = STOP
    if world.is_first:
        while (answer := gate.get()) not in (epoch, STOP):
            pass  # it was for a worker that died
    return world.from_first(answer) != STOP


def _explain(error: BaseException) -> str:
    """The cause in one line: what our own code said in a worker, else the last line of what Ray says."""
    failures = getattr(error, "worker_failures", None) or {}
    for cause in failures.values():
        inner = getattr(cause, "cause", None) or getattr(cause, "__cause__", None) or cause
        if isinstance(inner, TrainersError):
            return str(inner)
    causes = [str(cause).strip().splitlines()[-1] for cause in failures.values() if str(cause).strip()]
    lines = causes or str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return f"training failed on a worker: {lines[0]} (--log.level debug shows all)"
