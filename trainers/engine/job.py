"""A job, and what each rank makes of it: the network, its learner, the batches, the loop."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from trainers.data import Pack, SplitIndices, splits_of
from trainers.data.normalise import Normalise
from trainers.data.samples import Samples
from trainers.data.training_batches import TrainingBatches
from trainers.engine.adversarial import Adversarial
from trainers.engine.checkpoint import CheckpointStore
from trainers.engine.features import features_here, on_features
from trainers.engine.learner import Learner
from trainers.engine.limits import Limits
from trainers.engine.loop import Loop
from trainers.engine.lr_finder import RangeTest
from trainers.engine.micro_batch import AutoMicroBatch
from trainers.engine.supervised import Supervised
from trainers.engine.world import World
from trainers.experiment import Experiment
from trainers.models import Built, build, resolve_weights
from trainers.storage import Mirror
from trainers.tasks import Classifier, load_predictor, make_task, outputs_of


@dataclass(frozen=True)
class Job:
    """What a rank must know. It travels to other machines, so its paths are absolute."""

    experiment: Experiment
    folder: Path  # the run's own, where checkpoints go
    storage: Path
    pack_key: str  # made again from the source on a node that does not have it
    classifier: Path | None = None  # that measures a GAN's samples
    range_test: RangeTest | None = None  # instead of training
    features: Path | None = None  # what the frozen layers make of the pack: only the rest is run
    test: bool = True  # the best weights, at the end

    @property
    def mirror(self) -> Mirror:
        """The run's folder, and its copy if storage is on S3."""
        return Mirror.of(self.experiment.storage, self.storage, self.folder)


def assemble(job: Job, pack: Pack, store: CheckpointStore, world: World) -> tuple[Loop, torch.Tensor, tuple[str, ...]]:
    """The loop as it was after the last sound checkpoint, the samples [n] of the test split, and the names of the
    parameters that the weights file lacks.

    Raises:
        RequestError: the network, its weights or its layers are not as the options ask for them.
        WorkError: the checkpoint, the features or a GAN's classifier are missing or damaged, or S3 cannot be reached.
    """
    options = job.experiment
    splits = splits_of(pack, options.data, options.seed)
    torch.manual_seed(options.seed)
    last = world.from_first(store.latest() if world.is_first else 0)
    # DDP gives every rank the parameters of rank 0, so rank 0 alone needs the file.
    weights = resolve_weights(options.model, job.storage) if world.is_first and not last else None
    built = build(options.model, pack.shape, outputs_of(pack), weights, task=options.task)
    if job.features is not None:
        folder = features_here(job.features, options, pack, job.storage, world.device)
        built, pack = on_features(built, pack, folder)
    if options.scale.sync_batchnorm and world.size > 1:
        built = replace(built, module=nn.SyncBatchNorm.convert_sync_batchnorm(built.module))
    batches = make_batches(options, pack, splits, world)
    learner = make_learner(job, built, batches, world)
    limits = limits_of(job, pack, learner, world)
    loop = Loop(options, learner, batches, torch.from_numpy(splits.validation), world, store, limits)
    if last:
        loop.restore(store.load(last))
    return loop, torch.from_numpy(splits.test), built.missing


def make_batches(options: Experiment, pack: Pack, splits: SplitIndices, world: World) -> TrainingBatches:
    """This rank's batches of the training split; raises RequestError if the augmentation is not for such samples."""
    channels = pack.shape[0] if len(pack.shape) == 3 else 1
    samples = Samples(pack, world.device, Normalise.of(options.data.normalise, channels))
    return TrainingBatches(
        samples,
        torch.from_numpy(splits.train),
        global_batch=options.training.batch_size,
        augment=options.data.augment,
        seed=options.seed,
        rank=world.rank,
        world_size=world.size,
        classes=len(pack.classes),
    )


def make_learner(job: Job, built: Built, batches: TrainingBatches, world: World) -> Learner:
    """What trains the network, by the task."""
    options = job.experiment
    share = -(-options.training.batch_size // world.size)
    micro_batch = AutoMicroBatch(world, share, job.folder, options.training.micro_batch)
    micro_batch.synchronised = any(isinstance(part, nn.SyncBatchNorm) for part in built.module.modules())
    if options.task == "adversarial":
        classifier = None
        if world.is_first and job.classifier is not None:
            Mirror.of(options.storage, job.storage, job.classifier).pull()
            classifier = cast("Classifier", load_predictor(job.classifier, world.device))
        return Adversarial(options, built, classifier, batches, micro_batch)
    return Supervised(options, built, make_task(options), batches, micro_batch)


def limits_of(job: Job, pack: Pack, learner: Learner, world: World) -> Callable[[int], Limits]:
    """What is known of the memory that training takes, by the number of parameters trained."""
    options = job.experiment
    needs = {
        "torch": torch.__version__,
        "task": options.task,
        "model": options.model.model_dump(exclude={"weights", "partial", "init", "unfreeze"}),
        "features": job.features is not None,
        "shape": list(pack.shape),
        "outputs": outputs_of(pack),
        "augment": options.data.augment.model_dump(),
        "precision": str(learner.dtype),
        "optimizer": [options.optimizer.name, options.optimizer.momentum],
        "ema": options.training.ema is not None,
    }
    return lambda trained: Limits(job.storage / "limits", {**needs, "trained": trained}, world)
