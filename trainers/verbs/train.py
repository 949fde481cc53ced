"""`train`: plan, pack, start workers, train, evaluate, register."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from trainers import config, tracking
from trainers.cluster import Resources, Runtime
from trainers.display import Display
from trainers.errors import Interrupted, RequestError
from trainers.events import Event
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.verbs import plan
from trainers.verbs.run import EXPERIMENT, Run, command, new_name

if TYPE_CHECKING:
    from trainers.engine.job import Job

RESUMABLE = ("scale.", "log.", "tracking.system_metrics")  # what may change when a run goes on


def train(experiment: Experiment, display: Display, summary: Summary, resume: str | None = None) -> None:
    """Does the verb; what came out is in `summary`.

    Args:
        resume: name of the run that goes on, whose experiment this is.

    Raises:
        TrainersError: as the exit code says; the MLflow run then has status FAILED or KILLED.
    """
    with summary.phase("plan"):
        storage = plan.storage_folder(experiment)
        plan.check_path(experiment)  # told before Ray is started
    run = Run(resume or new_name(experiment), experiment, storage, display, summary, resumed=resume is not None)
    with _interruptible(), _ray(experiment) as runtime:
        try:
            _train(run, runtime)
        except BaseException as error:
            display.close()
            killed = isinstance(error, KeyboardInterrupt)
            summary.status = "KILLED" if killed else "FAILED"
            run.close()
            if killed:
                go_on = command("train --resume", run.name) if run.history else command("train")
                raise Interrupted(f"after {len(run.history)} epochs; go on with: {go_on}") from None
            raise


def find_run(reference: str, experiment: Experiment, flags: config.Tree) -> tuple[str, Experiment]:
    """An earlier run, by its name or its MLflow id: its name, and its experiment with those flags that may change.

    Raises:
        RequestError: there is no such run, or a flag would make it another experiment.
    """
    runs = plan.storage_folder(experiment) / "training"
    known = sorted(runs.glob(f"*/{EXPERIMENT}"), key=lambda path: path.stat().st_mtime)
    saved = next((path for path in known if reference in (path.parent.name, tracking.run_id_of(path.parent))), None)
    if saved is None:
        hint = f"the last are {', '.join(path.parent.name for path in known[-3:])}" if known else "there are none"
        raise RequestError(f"--resume: no run {reference} in {runs}; {hint}")
    for name in config.flatten(flags):
        if not name.startswith((*RESUMABLE, "storage.")):
            raise RequestError(f"{name}: cannot change when a run goes on; start a new run for that")
    return saved.parent.name, config.load(saved, flags)


def _train(run: Run, runtime: Runtime | None) -> None:
    summary, display, experiment = run.summary, run.display, run.experiment
    with summary.phase("pack"):
        data = plan.prepare_data(experiment, run.storage, display)
    ready = time.time()
    plan.describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = plan.check_model(experiment, len(data.pack.classes), run.storage)
        joined = runtime is not None and runtime.address is not None
        resources = plan.find_on_cluster(experiment, runtime) if runtime and joined else plan.find_local(experiment)
        tracking.check(run.uri)
        run.begin(data, resources.workers)
    plan.describe_model(experiment, size, resources, display)
    display.say(f"run         {run.name}")
    news = _work(run.job(data), resources, runtime)
    for event in news:
        run.hear(event)
        if run.tested:
            break
    run.end_times(ready)
    with _meanwhile(lambda: _wind_down(news, runtime)):
        from trainers.verbs.finish import finish

        finish(run, data)


def _work(job: "Job", resources: Resources, runtime: Runtime | None) -> Iterator[Event]:
    if runtime is None:
        from trainers.engine.local import work_here

        return work_here(job, cpus=resources.cpus, gpu=resources.gpu)
    from trainers.cluster.training import train_on_ray  # takes seconds, in which Ray goes on starting

    runtime.wait()
    return train_on_ray(job, resources)


def _wind_down(news: Iterator[Event], runtime: Runtime | None) -> None:
    for _ in news:
        pass
    if runtime:
        runtime.stop()


@contextmanager
def _meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Does something in a thread while the body runs, and waits for both."""
    thread = threading.Thread(target=work, name="wind-down")
    thread.start()
    try:
        yield
    finally:
        thread.join()


@contextmanager
def _ray(experiment: Experiment) -> Iterator[Runtime | None]:
    if experiment.scale.workers == 0:
        yield None
        return
    runtime = Runtime(experiment.scale.workers, verbose=experiment.log.level == "debug")
    try:
        yield runtime
    finally:
        runtime.stop()


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, by which Ray and Kubernetes stop a job, ends a run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
