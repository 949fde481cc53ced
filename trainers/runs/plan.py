"""What would run, on what: everything that can fail is tried before anything is spent."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.catalogue import SOURCES
from trainers.cluster import Cluster, Resources, Runtime, check_nodes, find_resources, joined_cluster, this_machine
from trainers.data import Pack, Prepared, list_source, open_pack, splits_of
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.storage import check_storage, on_s3
from trainers.summary import Summary

if TYPE_CHECKING:
    from trainers.models import Size

LAYERS = 24  # lines of the model summary that are printed; the whole of it is recorded


def check_path(experiment: Experiment) -> None:
    """The quickest of all checks: that the data's path, if it is a local one, is there.

    Raises RequestError: it is not.
    """
    path = experiment.data.path
    if path and not path.startswith("s3://") and not Path(path).expanduser().exists():
        raise RequestError(f"data.path: there is no folder or file {path} (seen from {Path.cwd()})")


def check_model(experiment: Experiment, pack: Pack, storage: Path) -> "Size":
    """Tries the network's name, layers, image size and weights file; returns how large it is.

    Raises RequestError: one of them does not fit.
    """
    from trainers.models import dry_run, resolve_weights
    from trainers.tasks import outputs_of

    return dry_run(experiment, pack.shape, outputs_of(pack), resolve_weights(experiment.model, storage))


def prepare_data(experiment: Experiment, storage: Path, display: Display) -> Prepared:
    """Packs the source where that has not been done, and splits it.

    Raises RequestError: the data is not there, not readable, or too small to split.
    """
    pack = open_pack(experiment.data, storage, progress=display.packing)
    plan = Prepared(pack, splits_of(pack, experiment.data, experiment.seed))
    samples = len(plan.splits.train)
    check_batch(experiment, plan)
    if samples < 2 * max(1, experiment.scale.workers or 1):
        raise RequestError(f"data: {samples} samples to train on are too few; each worker needs two")
    if not len(plan.splits.validation):
        raise RequestError("data.validation: 0 leaves no samples by which the best weights could be chosen")
    return plan


def check_batch(experiment: Experiment, plan: Prepared) -> None:
    """That there are as many samples as an optimiser step takes; raises RequestError: there are not."""
    batch, samples = experiment.training.batch_size, len(plan.splits.train)
    if batch > samples:
        raise RequestError(f"training.batch_size: {batch} is more than the {samples} samples to train on")


def describe_data(experiment: Experiment, plan: Prepared, display: Display) -> None:
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
    if resources.wait:
        display.say(f"waits       {resources.wait}")
    if not resources.gpu and 0 < resources.memory < memory:
        display.warn(
            f"a worker's {memory / 2**20:,.0f} MiB are more than the {resources.memory / 2**20:,.0f} MiB of a node: "
            "micro-batches will be made smaller; or set training.micro_batch"
        )


def find_cluster(experiment: Experiment, runtime: Runtime | None) -> Cluster:
    """The cluster that was joined, else this machine.

    Raises RequestError: the cluster cannot be joined, or one of its nodes could not do the work.
    """
    if runtime is not None and runtime.address is not None:
        runtime.wait()
        return joined_cluster()
    return this_machine(experiment.scale.workers)


def resources_of(experiment: Experiment, runtime: Runtime | None = None) -> Resources:
    """What the run takes of the cluster that was joined, else of this machine.

    Raises RequestError: it lacks what was asked for, or the cluster cannot be used.
    """
    return find_resources(experiment.scale, experiment.training.batch_size, find_cluster(experiment, runtime))


def plan(experiment: Experiment, display: Display, summary: Summary) -> None:
    """Does the verb: says what `train` would run, on what, having tried all that can be tried without training.

    Raises RequestError: something that `train` would stumble over.
    """
    with summary.phase("plan"):
        storage = check_storage(experiment.storage)
    joined = os.environ.get("RAY_ADDRESS") and experiment.scale.workers != 0
    runtime = Runtime(None, verbose=False, check=lambda: check_nodes(experiment.storage)) if joined else None
    try:
        _plan(experiment, storage, display, summary, runtime)
    finally:
        if runtime:
            runtime.stop()


def _plan(experiment: Experiment, storage: Path, display: Display, summary: Summary, runtime: Runtime | None) -> None:
    from trainers.tracking import check, check_lasting, shown, tracking_uri

    with summary.phase("plan"):
        check_lasting(experiment)
        list_source(experiment.data, storage, display.packing)
    with summary.phase("pack"):
        data = prepare_data(experiment, storage, display)
    describe_data(experiment, data, display)
    with summary.phase("plan"):
        size = check_model(experiment, data.pack, storage)
        cluster = find_cluster(experiment, runtime)
        if runtime:
            display.say(f"cluster     {cluster}")
        resources = find_resources(experiment.scale, experiment.training.batch_size, cluster)
        uri = tracking_uri(experiment.tracking.uri, storage)
        check(uri)
    describe_model(experiment, size, resources, display)
    cached = f"{experiment.storage.path}, cached in " if on_s3(experiment.storage) else ""
    display.say(f"storage     {cached}{storage}")
    display.say(f"tracking    {shown(uri)}, experiment {experiment.mlflow_experiment}")
    display.say(f"registers   {experiment.registered_model}")
    summary.world_size = max(resources.workers, 1)
    summary.global_batch = experiment.training.batch_size
    summary.status = "FINISHED"
