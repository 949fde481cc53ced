"""`train`: plan, pack, start workers, train, evaluate, register."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from trainers import config
from trainers.cluster import Resources, Runtime
from trainers.data import list_source
from trainers.display import Display
from trainers.errors import Interrupted, RequestError
from trainers.events import Event
from trainers.experiment import Experiment
from trainers.summary import Summary
from trainers.tracking import Recorder, Status
from trainers.verbs import finish, plan
from trainers.verbs.run import SEND_SECONDS, Run, command

if TYPE_CHECKING:
    from trainers.engine.job import Job

RESUMABLE = ("scale.", "log.", "tracking.system_metrics")  # what may change when a run goes on


def train(experiment: Experiment, display: Display, summary: Summary, resume: str | None = None) -> None:
    """Does the verb; what came out is in `summary`.

    Raises:
        TrainersError: as the exit code says; the MLflow run then has status FAILED or KILLED.
    """
    with summary.phase("plan"):
        storage = plan.storage_folder(experiment)
        list_source(experiment.data, storage, display.packing)  # a wrong path is told before anything is started
    run = Run(experiment, storage, display, summary, resumed=resume is not None)
    with _interruptible(), _ray(experiment) as runtime, ThreadPoolExecutor(1) as background:
        recorder = background.submit(_record, run, resume)
        try:
            _train(run, runtime, recorder)
        except BaseException as error:
            display.close()
            killed = isinstance(error, KeyboardInterrupt)
            _close(recorder, "KILLED" if killed else "FAILED", summary)
            if killed:
                go_on = command("train --resume", summary.run_id) if run.history else command("train")
                raise Interrupted(f"stopped after {len(run.history)} epochs; go on with: {go_on}") from None
            raise


def resumed_experiment(run_id: str, experiment: Experiment, flags: config.Tree) -> Experiment:
    """The experiment of an earlier run under the storage of `experiment`, with those flags that may change.

    Raises:
        RequestError: there is no such run, or a flag would make it another experiment.
    """
    runs = plan.storage_folder(experiment) / "training"
    saved = runs / run_id / "experiment.yaml"
    if not saved.is_file():
        known = sorted(runs.glob("*/experiment.yaml"), key=lambda path: path.stat().st_mtime)
        hint = f"the last are {', '.join(path.parent.name for path in known[-3:])}" if known else "there are none"
        raise RequestError(f"--resume: no run {run_id} in {runs}; {hint}")
    for name in config.flatten(flags):
        if not name.startswith((*RESUMABLE, "storage.")):
            raise RequestError(f"{name}: cannot change when a run goes on; start a new run for that")
    return config.load(saved, flags)


def _train(run: Run, runtime: Runtime | None, recorder: "Future[Recorder]") -> None:
    summary, display, experiment = run.summary, run.display, run.experiment
    with summary.phase("pack"):
        data = plan.prepare_data(experiment, run.storage, display)
    ready = time.time()
    plan.describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = plan.check_model(experiment, len(data.pack.classes), run.storage)
        joined = runtime is not None and runtime.address is not None
        resources = plan.find_on_cluster(experiment, runtime) if runtime and joined else plan.find_local(experiment)
        run.recorder = recorder.result()
    plan.describe_model(experiment, size, resources, display)
    display.say(f"run         {summary.run_id}")
    run.begin(data, resources.workers)
    if runtime:
        runtime.wait()
    news = _work(run.job(data), resources)
    for event in news:
        run.hear(event)
        if run.tested:
            break
    run.times(ready)
    with _meanwhile(lambda: _wind_down(news, runtime)):
        finish.finish(run, data)


def _work(job: "Job", resources: Resources) -> Iterator[Event]:
    if resources.workers == 0:
        from trainers.engine.local import work_here

        return work_here(job, cpus=resources.cpus, gpu=resources.gpu)
    from trainers.cluster.training import train_on_ray

    return train_on_ray(job, resources)


def _record(run: Run, resume: str | None) -> Recorder:
    """Opens the MLflow run; importing mlflow and making its database takes seconds, so this is done in a thread."""
    recorder = run.open_recorder(resume)
    run.summary.run_id = recorder.run_id
    return recorder


def _close(recorder: "Future[Recorder]", status: Status, summary: Summary) -> None:
    summary.status = status
    try:
        recorder.result().finish(status, wait_s=SEND_SECONDS)
    except RequestError:
        return  # the run was never opened; its error is what is being raised


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
