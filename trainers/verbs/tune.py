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
from trainers.search import check, count, metric
from trainers.storage import Mirror
from trainers.summary import Summary
from trainers.tracking import Recorder, run_id_of, tracking_uri
from trainers.verbs import plan
from trainers.verbs.launch import interruptible, ray
from trainers.verbs.names import command, find_earlier, new_name, origin, refuse_changes
from trainers.verbs.run import SEND_SECONDS
from trainers.verbs.sweep_end import end
from trainers.verbs.sweep_plan import Ready, check_space, extremes, share_features
from trainers.verbs.sweep_run import SweepRun, folder_of
from trainers.verbs.sweep_words import describe_search
from trainers.verbs.trials import Record

SWEEP = "sweep.yaml"  # the resolved experiment, in a sweep's folder
# What may change when a sweep goes on
RESUMABLE = ("scale.", "log.", "storage.", "search.trials", "search.minutes", "search.concurrent")


def tune(experiment: Experiment, display: Display, summary: Summary, resume: str | None = None) -> None:
    """Does the verb; what came out is in `summary`.

    Args:
        resume: name of the sweep that goes on, whose experiment this is.

    Raises:
        TrainersError: as the exit code says; the sweep's MLflow run then has status FAILED or KILLED.
    """
    with summary.phase("plan"):
        if experiment.compare:
            raise RequestError("compare: is for train; tune searches search.space, where {choice: …} compares")
        check(experiment)
        storage = plan.storage_folder(experiment)
        plan.check_path(experiment)
        tracking.check_lasting(experiment)
    name = resume or new_name(experiment, "sweep")
    record, trials = Record(folder_of(storage, name)), count(experiment.search)
    # A complete sweep trains nothing more: only its end is done again.
    needed = sum(trial.ended for trial in record.trials.values()) < trials
    with interruptible(), ray(experiment, needed=needed) as runtime:
        sweep, work = _prepare(name, experiment, storage, record, trials, display, summary, runtime)
        try:
            _do(sweep, work, summary, runtime)
        except BaseException as error:
            display.close()
            killed = isinstance(error, KeyboardInterrupt)
            summary.status = "KILLED" if killed else "FAILED"
            sweep.abort("KILLED" if killed else "FAILED")
            if killed:
                done = sum(trial.ended for trial in sweep.trials)
                go_on = command("tune --resume", name)
                raise Interrupted(f"after {done} of {trials} trials; go on with: {go_on}") from None
            raise


def find_sweep(reference: str, experiment: Experiment, flags: config.Tree) -> tuple[str, Experiment]:
    """An earlier sweep, by its name or its MLflow id: its name, and its experiment with those flags that may change.

    Raises:
        RequestError: there is no such sweep, a flag would make it another one, or it has more trials already.
    """
    storage = plan.storage_folder(experiment)
    home = Mirror.of(experiment.storage, storage, storage / "sweeps")
    saved = find_earlier(reference, experiment, home, SWEEP, "sweep")
    refuse_changes(flags, RESUMABLE, "sweep")
    # It was found where the present command looks for it; so are its trials.
    found = config.load(saved, flags).model_copy(update={"storage": experiment.storage})
    Mirror.of(experiment.storage, storage, storage / "training").pull(f"{saved.parent.name}-")
    begun = len(Record(saved.parent).trials)
    if count(found.search) < begun:
        raise RequestError(f"search.trials: {begun} have begun already, which cannot become {count(found.search)}")
    return saved.parent.name, found


@dataclass(frozen=True)
class _Work:
    """What trials are given."""

    pack_key: str
    features: Path | None
    resources: Resources
    concurrent: int


def _prepare(
    name: str,
    experiment: Experiment,
    storage: Path,
    record: Record,
    trials: int,
    display: Display,
    summary: Summary,
    runtime: Runtime | None,
) -> tuple[SweepRun, _Work]:
    """Checks all that can be checked before the first trial; then begins the sweep's record, or goes on with it.

    Raises:
        RequestError: something that a trial would stumble over.
    """
    ready = Ready(storage, display)
    with summary.phase("pack"):
        data = ready.data(experiment)
    plan.describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = ready.size(experiment)
        check_space(experiment, ready)
        resources, concurrent = _resources(experiment, trials, runtime)
        tracking.check(tracking_uri(experiment.tracking.uri, storage))
    plan.describe_model(experiment, size, resources, display)
    classifier = None
    if experiment.task == "adversarial":
        from trainers.verbs.classifier import find_classifier

        classifier = find_classifier(experiment, data, storage, display, resources)
    features = share_features(experiment, data, storage, display) if runtime else None
    ready.hush()
    sweep = SweepRun(
        name, experiment, storage, display, trials, resources.workers, ready, record,
        _open_parent(name, experiment, storage), classifier,
    )  # fmt: skip
    described = describe_search(experiment.search, trials, concurrent, metric(experiment)[0])
    display.say(f"sweep       {name}: {described}")
    if record.trials:
        ended = sum(trial.ended for trial in sweep.trials)
        display.say(f"goes on after {ended} trial{'s' * (ended != 1)}")
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
    sweep.mirror.settle()


def _run_trials(sweep: SweepRun, work: _Work, runtime: Runtime) -> None:
    from trainers.cluster.sweep import Known, Sweep
    from trainers.cluster.tuning import sweep_on_ray  # takes seconds, in which Ray goes on starting

    runtime.wait()
    known = {trial.number: Known(trial.options, trial.state, trial.history) for trial in sweep.trials}
    todo = Sweep(sweep.experiment, sweep.name, sweep.storage, work.pack_key, work.features, sweep.classifier, known)
    for event in sweep_on_ray(todo, work.resources, work.concurrent):
        sweep.hear(event)


def _resources(experiment: Experiment, trials: int, runtime: Runtime | None) -> tuple[Resources, int]:
    """What each trial takes, and how many run at a time."""
    cluster = plan.find_cluster(experiment, runtime)
    batches = experiment.search.space.get("training.batch_size")
    smallest = min(extremes(batches)) if batches else experiment.training.batch_size
    resources = find_resources(experiment.scale, smallest, cluster, sweep=True)
    return resources, concurrency(experiment.search, resources, trials, cluster)


def _open_parent(name: str, experiment: Experiment, storage: Path) -> Recorder:
    """The record of the sweep as a whole: a new MLflow run, or the one that an earlier start began."""
    folder = folder_of(storage, name)
    uri, measure = tracking_uri(experiment.tracking.uri, storage), experiment.tracking.system_metrics
    run_id = run_id_of(folder)
    if run_id:
        parent = Recorder.resume(run_id, uri, lambda _: folder, system_metrics=measure)
    else:
        parent = Recorder.start(
            uri,
            experiment.mlflow_experiment,
            lambda _: folder,
            run_name=name,
            params=config.flatten(experiment.model_dump()),
            tags=origin() | {"sweep": name},
            system_metrics=measure,
            artifacts=storage / "artifacts",
        )
    # Written anew where a sweep goes on: with more trials, it has more trials from now on.
    aside = folder / f".{SWEEP}.new"
    aside.write_text(config.dump_yaml(experiment))
    aside.replace(folder / SWEEP)
    parent.artifact(folder / SWEEP)
    return parent
