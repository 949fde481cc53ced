"""`tune`: many runs of one experiment with other values of some options, and the best of them registered."""

import time
from dataclasses import dataclass
from pathlib import Path

from trainers import config, tracking
from trainers.cluster import Resources, Runtime
from trainers.cluster.resources import concurrency, find_resources
from trainers.display import Display
from trainers.errors import Interrupted, RequestError
from trainers.experiment import Experiment
from trainers.origin import command
from trainers.runs import plan
from trainers.runs.folder import RUN, Kind, RunFolder
from trainers.runs.launch import interruptible, ray
from trainers.runs.record import SEND_SECONDS, open_recorder
from trainers.runs.resume import changed, refuse_changes
from trainers.search import check, count, metric
from trainers.storage import Mirror, check_storage
from trainers.summary import Summary
from trainers.sweeps.end import end
from trainers.sweeps.ready import Ready, check_space, extremes, share_features
from trainers.sweeps.sweep import SweepRun
from trainers.sweeps.trials import Trials
from trainers.sweeps.words import describe_search
from trainers.tracking import Recorder, tracking_uri

SWEEP = Kind("sweep", "sweeps", "sweep.yaml")
# What may change when a sweep goes on
RESUMABLE = ("scale.", "log.", "storage.", "search.trials", "search.minutes", "search.concurrent")


def tune(experiment: Experiment, display: Display, summary: Summary, resume: str | None = None) -> None:
    """Does the verb; what came out is in `summary`.

    Args:
        resume: name of the sweep that goes on, whose experiment this is.

    Raises TrainersError: as the exit code says; the sweep's MLflow run then has status FAILED or KILLED.
    """
    with summary.phase("plan"):
        check(experiment)
        storage = check_storage(experiment.storage)
        plan.check_path(experiment)
        tracking.check_lasting(experiment)
    folder = RunFolder.of(experiment, storage, SWEEP, name=resume)
    trials, total = Trials(folder.path), count(experiment.search)
    # A complete sweep trains nothing more: only its end is done again.
    with interruptible(), ray(experiment, needed=trials.ended < total) as runtime:
        sweep, work = _prepare(folder, experiment, trials, total, display, summary, runtime)
        try:
            _do(sweep, work, summary, runtime)
        except BaseException as error:
            display.close()
            killed = isinstance(error, KeyboardInterrupt)
            summary.status = "KILLED" if killed else "FAILED"
            sweep.abort("KILLED" if killed else "FAILED")
            if killed:
                go_on = command("tune --resume", folder.name)
                raise Interrupted(f"after {trials.ended} of {total} trials; go on with: {go_on}") from None
            raise


def find_sweep(reference: str, experiment: Experiment, flags: config.Tree) -> tuple[str, Experiment]:
    """An earlier sweep, by its name or its MLflow id: its name, and its experiment with those flags that may change.

    Raises RequestError: there is no such sweep, a flag would make it another one, or it has more trials already.
    """
    storage = check_storage(experiment.storage)
    folder = RunFolder.find(reference, experiment, storage, SWEEP)
    refuse_changes(flags, RESUMABLE, "sweep")
    found = changed(folder, experiment, flags)
    # Of its trials, too, it goes on from what lasts.
    Mirror.of(experiment.storage, storage, storage / RUN.home).pull(f"{folder.name}-")
    begun = len(Trials(folder.path))
    if count(found.search) < begun:
        raise RequestError(f"search.trials: {begun} have begun already, which cannot become {count(found.search)}")
    return folder.name, found


@dataclass(frozen=True)
class _Work:
    """What trials are given."""

    pack_key: str
    features: Path | None
    resources: Resources
    concurrent: int


def _prepare(
    folder: RunFolder,
    experiment: Experiment,
    trials: Trials,
    total: int,
    display: Display,
    summary: Summary,
    runtime: Runtime | None,
) -> tuple[SweepRun, _Work]:
    """Checks all that can be checked before the first trial; then begins the sweep's record, or goes on with it.

    Raises RequestError: something that a trial would stumble over.
    """
    storage = folder.storage
    ready = Ready(storage, display)
    with summary.phase("pack"):
        data = ready.data(experiment)
    plan.describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = ready.size(experiment)
        check_space(experiment, ready)
        resources, concurrent = _resources(experiment, total, runtime)
        tracking.check(tracking_uri(experiment.tracking.uri, storage))
    plan.describe_model(experiment, size, resources, display)
    classifier = None
    if experiment.task == "adversarial":
        from trainers.trained.classifier import find_classifier

        classifier = find_classifier(experiment, data, storage, display, resources)
    features = share_features(experiment, data, storage, display) if runtime else None
    ready.hush()
    parent = _open_parent(folder, experiment)
    sweep = SweepRun(folder, experiment, display, total, resources.workers, ready, trials, parent, classifier)
    described = describe_search(experiment.search, total, concurrent, metric(experiment)[0])
    display.say(f"sweep       {folder.name}: {described}")
    if len(trials):
        display.say(f"goes on after {trials.ended} trial{'s' * (trials.ended != 1)}")
    return sweep, _Work(data.pack.key, features, resources, concurrent)


def _do(sweep: SweepRun, work: _Work, summary: Summary, runtime: Runtime | None) -> None:
    """Runs the trials that are left, and does the end."""
    if runtime is not None:
        started = time.time()
        _run_trials(sweep, work, runtime)
        sweep.display.close()
        first = sweep.first_step or time.time()
        summary.seconds["start"], summary.seconds["train"] = first - started, time.time() - first
    # Ray is not stopped meanwhile: a handle that Ray Tune has left in this process, freed while Ray ends, aborts it.
    end(sweep, summary)
    sweep.parent.finish("FINISHED", wait_s=SEND_SECONDS)
    sweep.folder.mirror.settle()


def _run_trials(sweep: SweepRun, work: _Work, runtime: Runtime) -> None:
    from trainers.cluster.sweep import Known, Sweep
    from trainers.cluster.tuning import sweep_on_ray  # takes seconds, in which Ray goes on starting

    runtime.wait()
    known = {trial.number: Known(trial.options, trial.state, trial.history) for trial in sweep.trials}
    todo = Sweep(
        sweep.experiment, sweep.folder.name, sweep.folder.storage, work.pack_key, work.features, sweep.classifier, known
    )
    for event in sweep_on_ray(todo, work.resources, work.concurrent):
        sweep.hear(event)


def _resources(experiment: Experiment, trials: int, runtime: Runtime | None) -> tuple[Resources, int]:
    """What each trial takes, and how many run at a time."""
    cluster = plan.find_cluster(experiment, runtime)
    batches = experiment.search.space.get("training.batch_size")
    smallest = min(extremes(batches)) if batches else experiment.training.batch_size
    resources = find_resources(experiment.scale, smallest, cluster, sweep=True)
    return resources, concurrency(experiment.search, resources, trials, cluster)


def _open_parent(folder: RunFolder, experiment: Experiment) -> Recorder:
    """The record of the sweep as a whole: a new MLflow run, or the one that an earlier start began."""
    measure = experiment.tracking.system_metrics
    parent = open_recorder(folder, experiment, {"sweep": folder.name}, system_metrics=measure)
    folder.keep(experiment)  # anew where a sweep goes on: with more trials, it has more trials from now on
    parent.artifact(folder.saved)
    return parent
