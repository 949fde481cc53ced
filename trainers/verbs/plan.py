"""What would run, on what: everything that can fail is tried before anything is spent."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.catalogue import SOURCES
from trainers.cluster import Resources, Runtime, cluster_size, find_resources, machine_size
from trainers.data import Pack, Splits, list_source, open_pack, splits_of
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.summary import Summary

if TYPE_CHECKING:
    from trainers.models import Size

LAYERS = 24  # lines of the model summary that are printed; the whole of it is recorded


@dataclass(frozen=True)
class Plan:
    """Data that is ready, in its splits."""

    pack: Pack
    splits: Splits

    def counts(self) -> list[tuple[str, list[int]]]:
        """How many images each split has per class, in the order of the classes."""
        rows = []
        for name, indices in self.splits.items():
            count = Counter(self.pack.labels[indices].tolist())
            rows.append((name, [count[label] for label in range(max(1, len(self.pack.classes)))]))
        return rows


def storage_folder(experiment: Experiment) -> Path:
    """The absolute storage folder, made if it is not there.

    A job that was submitted to Ray runs in a copy of the submitted folder that Ray deletes, so there a relative path
    is taken from the home folder.

    Raises:
        RequestError: nothing can be written there.
    """
    path = Path(experiment.storage.path).expanduser()
    if not path.is_absolute():
        submitted = "RAY_JOB_SUBMISSION_ID" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
        path = (Path.home() / "trainers" if submitted else Path.cwd()) / path
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RequestError(f"storage.path: {path} cannot be written ({error.strerror})") from None
    return path.resolve()


def check_path(experiment: Experiment) -> None:
    """The quickest of all checks: that the data's path, if it is a local one, is there.

    Raises:
        RequestError: it is not.
    """
    path = experiment.data.path
    if path and not path.startswith("s3://") and not Path(path).expanduser().exists():
        raise RequestError(f"data.path: there is no folder or file {path} (seen from {Path.cwd()})")


def check_model(experiment: Experiment, pack: Pack, storage: Path) -> "Size":
    """Tries the network's name, layers, image size and weights file; returns how large it is.

    Raises:
        RequestError: one of them does not fit.
    """
    from trainers.models import dry_run, resolve_weights
    from trainers.tasks import outputs_of

    return dry_run(experiment, pack.shape, outputs_of(pack), resolve_weights(experiment.model, storage))


def prepare_data(experiment: Experiment, storage: Path, display: Display) -> Plan:
    """Packs the source where that has not been done, and splits it.

    Raises:
        RequestError: the data is not there, not readable, or too small to split.
    """
    pack = open_pack(experiment.data, storage, progress=display.packing)
    plan = Plan(pack, splits_of(pack, experiment.data, experiment.seed))
    samples = len(plan.splits.train)
    check_batch(experiment, plan)
    if samples < 2 * max(1, experiment.scale.workers or 1):
        raise RequestError(f"data: {samples} samples to train on are too few; each worker needs two")
    if not len(plan.splits.validation):
        raise RequestError("data.validation: 0 leaves no samples by which the best weights could be chosen")
    return plan


def check_batch(experiment: Experiment, plan: Plan) -> None:
    """That there are as many samples as an optimiser step takes.

    Raises:
        RequestError: there are not.
    """
    batch, samples = experiment.training.batch_size, len(plan.splits.train)
    if batch > samples:
        raise RequestError(f"training.batch_size: {batch} is more than the {samples} samples to train on")


def describe_data(experiment: Experiment, plan: Plan, display: Display) -> None:
    """The data audit: counts per split and class, unreadable files by name."""
    options, shape = experiment.data, plan.pack.shape
    made = "made here" if SOURCES[options.source].at == "here" else "downloaded"
    kind = f"{shape[1]} px{' grey' if shape[0] == 1 else ''}" if len(shape) == 3 else f"vectors of {shape[0]}"
    display.say(f"data        {options.source} ({options.path or made}), pack {plan.pack.key}, {kind}")
    for name, counts in plan.counts():
        several = zip(plan.pack.classes, counts, strict=False)  # values to predict have no classes
        per_class = ", ".join(f"{label} {count:,}" for label, count in list(several)[:12])
        more = f", … {len(counts) - 12} more classes" if len(counts) > 12 else ""
        display.say(f"  {name:<10}{sum(counts):>7,}  {per_class}{more}".rstrip())
    unreadable = plan.pack.unreadable
    for name, cause in unreadable[:10]:
        display.result(f"  unreadable  {name}: {cause}")
    if len(unreadable) > 10:
        display.result(f"  unreadable  and {len(unreadable) - 10} more")


def describe_model(experiment: Experiment, size: "Size", resources: Resources, display: Display) -> None:
    """The network by its layers, where it runs, and about how much memory it takes there."""
    from trainers.models import summary_table

    options = experiment.training
    share = -(-options.batch_size // max(resources.workers, 1))
    micro = min(options.micro_batch or share, share)
    memory = size.training_bytes(micro, experiment.optimizer.name, experiment.optimizer.momentum)
    trained = "" if size.trained == size.parameters else f", {size.trained:,} of them trained"
    work = f"{size.multiply_adds / 1e6:,.1f} million multiply-adds per sample"
    display.say(f"model       {experiment.model.name}, {size.parameters:,} parameters{trained}, {work}")
    lines = summary_table(size).splitlines()
    for line in lines if len(lines) <= LAYERS else [*lines[: LAYERS - 2], "…", lines[-1]]:
        display.say(f"  {line}")
    display.say(
        f"runs on     {resources}; global batch {options.batch_size}, micro-batch {micro}, "
        f"about {memory / 2**20:,.0f} MiB per worker besides PyTorch itself"
    )


def capacity(experiment: Experiment, runtime: Runtime | None) -> tuple[float, float]:
    """CPU cores and GPUs of the cluster that was joined, else of this machine, where more workers raise Ray's count.

    Raises:
        RequestError: the cluster cannot be joined.
    """
    if runtime is not None and runtime.address is not None:
        runtime.wait()
        return cluster_size()
    cpus, gpus = machine_size()
    return max(cpus, experiment.scale.workers or 1), gpus


def find_local(experiment: Experiment) -> Resources:
    """What the run takes of this machine, when no cluster is joined.

    Raises:
        RequestError: the machine lacks what was asked for.
    """
    cpus, gpus = capacity(experiment, None)
    return find_resources(experiment.scale, experiment.training.batch_size, cpus=cpus, gpus=gpus)


def plan(experiment: Experiment, display: Display, summary: Summary) -> None:
    """Does the verb: says what `train` would run, on what, having tried all that can be tried without training.

    Raises:
        RequestError: something that `train` would stumble over.
    """
    from trainers.tracking import check, shown, tracking_uri

    with summary.phase("plan"):
        storage = storage_folder(experiment)
        list_source(experiment.data, storage, display.packing)
    with summary.phase("pack"):
        data = prepare_data(experiment, storage, display)
    describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = check_model(experiment, data.pack, storage)
        runtime = Runtime(None, verbose=False) if os.environ.get("RAY_ADDRESS") else None
        try:
            resources = find_on_cluster(experiment, runtime) if runtime else find_local(experiment)
        finally:
            if runtime:
                runtime.stop()
        uri = tracking_uri(experiment.tracking.uri, storage)
        check(uri)
    describe_model(experiment, size, resources, display)
    display.say(f"storage     {storage}")
    display.say(f"tracking    {shown(uri)}, experiment {experiment.mlflow_experiment}")
    display.say(f"registers   {experiment.registered_model}")
    summary.world_size = max(resources.workers, 1)
    summary.global_batch = experiment.training.batch_size
    summary.status = "FINISHED"


def find_on_cluster(experiment: Experiment, runtime: Runtime) -> Resources:
    """What the run takes of the cluster that was joined.

    Raises:
        RequestError: the cluster lacks it.
    """
    cpus, gpus = capacity(experiment, runtime)
    return find_resources(experiment.scale, experiment.training.batch_size, cpus=cpus, gpus=gpus)
