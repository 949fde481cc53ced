"""`train`: plan, pack, start workers, train, evaluate, register."""

import time
from collections.abc import Generator, Iterator
from typing import cast

from trainers import reports, tracking
from trainers.cluster import Runtime
from trainers.display import Display
from trainers.errors import Interrupted
from trainers.events import Event
from trainers.experiment import Experiment
from trainers.origin import command
from trainers.runs import plan
from trainers.runs.folder import RunFolder
from trainers.runs.launch import interruptible, launch, meanwhile, ray
from trainers.runs.run import Run
from trainers.storage import check_storage
from trainers.summary import Summary


def train(experiment: Experiment, display: Display, summary: Summary, resume: str | None = None) -> None:
    """Does the verb; what came out is in `summary`.

    Args:
        resume: name of the run that goes on, whose experiment this is.

    Raises TrainersError: as the exit code says; the MLflow run then has status FAILED or KILLED.
    """
    with summary.phase("plan"):
        storage = check_storage(experiment.storage)
        plan.check_path(experiment)  # told before Ray is started
        tracking.check_lasting(experiment)
    folder = RunFolder.of(experiment, storage, name=resume)
    run = Run(folder, experiment, display, summary, resumed=resume is not None, recording=preload_end)
    with interruptible(), ray(experiment) as runtime:
        do(run, runtime)


def do(run: Run, runtime: Runtime | None) -> None:
    """Does one run from its data to its registered model.

    Raises TrainersError: the run's record then has status FAILED or KILLED.
    """
    try:
        _do(run, runtime)
    except BaseException as error:
        run.display.close()
        killed = isinstance(error, KeyboardInterrupt)
        run.summary.status = "KILLED" if killed else "FAILED"
        run.record.close()
        if killed:
            go_on = command("train --resume", run.folder.name) if run.history else command("train")
            raise Interrupted(f"after {len(run.history)} epochs; go on with: {go_on}") from None
        raise


def _do(run: Run, runtime: Runtime | None) -> None:
    summary, display, experiment = run.summary, run.display, run.experiment
    with summary.phase("pack"):
        data = plan.prepare_data(experiment, run.folder.storage, display)
    ready = time.time()
    plan.describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = plan.check_model(experiment, data.pack, run.folder.storage)
        resources = plan.resources_of(experiment, runtime)
        tracking.check(run.record.uri)
        run.begin(data, size, resources.workers)
    plan.describe_model(experiment, size, resources, display)
    if experiment.task == "adversarial":
        from trainers.trained.classifier import find_classifier

        run.classifier = find_classifier(experiment, data, run.folder.storage, display, resources)
        ready = time.time()
    display.say(f"run         {run.folder.name}")
    news = cast("Generator[Event]", launch(run.job(data), resources, runtime))
    try:
        for event in news:
            run.hear(event)
            if run.tested:
                break
    except BaseException:
        news.close()  # what this process itself has trained is put where it lasts
        raise
    run.end_times(ready)
    with meanwhile(lambda: _wind_down(news, runtime)):
        from trainers.runs.finish import finish

        finish(run, data)


def _wind_down(news: Iterator[Event], runtime: Runtime | None) -> None:
    for _ in news:
        pass
    if runtime:
        runtime.stop()


def preload_end() -> None:
    """Imports what the end of a run needs, which takes seconds, so that it need not be waited for then."""
    import trainers.runs.finish  # noqa: F401

    tracking.preload()
    reports.preload()
