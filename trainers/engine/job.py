"""One job as every rank does it: build, restore, train, test the best weights."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import nn

from trainers.data import Pack, SplitIndices, reopen_pack, splits_of
from trainers.data.normalise import Normalise
from trainers.data.samples import Samples
from trainers.data.training_batches import TrainingBatches
from trainers.engine.adversarial import Adversarial
from trainers.engine.checkpoint import CheckpointStore
from trainers.engine.features import features_here, on_features
from trainers.engine.learner import Learner
from trainers.engine.limits import Limits
from trainers.engine.loop import Diverged, Loop, find_micro_batch
from trainers.engine.lr_finder import RangeTest, run_range_test
from trainers.engine.memory import CAUSES, KILLED, NOTE, Memory, Note, OutOfMemory, TooLarge, cause_of, was_killed
from trainers.engine.supervised import Supervised
from trainers.engine.world import World
from trainers.errors import WorkError
from trainers.events import EpochDone, Event, Failed, Restored, Tested, Warned
from trainers.experiment import Experiment
from trainers.models import Built, build, resolve_weights
from trainers.storage import Mirror
from trainers.tasks import Classifier, describe, load_predictor, make_task, outputs_of


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


def work(job: Job, world: World) -> Iterator[Event]:
    """Trains a job to its end as one rank, and yields what there is to tell; rank 0's is the whole story.

    Started again after a crash, it goes on from the last sound checkpoint.
    """
    options = job.experiment
    if world.device.type == "cuda":
        # Resumed runs are to be the same bit for bit, so no algorithm is chosen by a race.
        torch.backends.cudnn.deterministic = True
    pack = reopen_pack(job.pack_key, options.data, job.storage)
    if not same_samples(pack, world):
        yield Failed("data.path: the workers' machines have different samples there; give all of them the same")
        return
    with CheckpointStore.of(options, job.storage, job.folder, describe(options, pack)) as store:
        loop, test, missing = _loop(job, pack, store, world)
        yield from map(Warned, store.warnings())
        yield Restored(len(loop.history), loop.history, missing)
        try:
            for event in _train(job, loop, world):
                if isinstance(event, EpochDone):  # after which nobody may ask for more
                    yield from map(Warned, store.warnings())
                yield event
        except (Diverged, TooLarge) as error:
            # All ranks stop here together; raising would only have Ray start them again to the same end.
            yield Failed(str(error))
            return
        except OutOfMemory:
            with suppress(WorkError):  # then only ranks on this machine know of it, and another may run out again
                job.mirror.push_file(NOTE)
            raise
        store.finish()  # the best weights may be those of the last epoch
        if job.test and job.range_test is None:
            yield _test_best(loop, test)


def same_samples(pack: Pack, world: World) -> bool:
    """Whether all ranks have packed the same samples, each on its own machine."""
    if world.size == 1:
        return True
    identity = int(pack.split_fingerprint(range(len(pack.names))), 16) >> 1  # fits into a signed number
    return world.largest(identity) == world.smallest(identity)


def _train(job: Job, loop: Loop, world: World) -> Iterator[Event]:
    learner = loop.learner
    try:
        _heed(job.mirror, learner, loop.limits, world)
        if job.range_test is None:
            yield from loop.run()
            return
        learner.begin(0)
        find_micro_batch(learner, loop.batches, loop.limits)
        yield from run_range_test(job.range_test, cast("Supervised", learner), loop.batches, world, job.experiment.seed)
    except Exception as error:
        if (cause := cause_of(error)) is None:
            raise
        # Between the passes, as in the optimiser's first step.
        raise learner.memory.out_of(cause, error) from None


def _loop(job: Job, pack: Pack, store: CheckpointStore, world: World) -> tuple[Loop, torch.Tensor, tuple[str, ...]]:
    """The loop as it was after the last sound checkpoint, the samples [n] of the test split, and the parameters that
    the weights file lacks."""
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
    batches = _batches(options, pack, splits, world)
    learner = _learner(job, built, batches, world)
    limits = _limits(job, pack, learner, world)
    loop = Loop(options, learner, batches, torch.from_numpy(splits.validation), world, store, limits)
    if last:
        loop.restore(store.load(last))
    return loop, torch.from_numpy(splits.test), built.missing


def _batches(options: Experiment, pack: Pack, splits: SplitIndices, world: World) -> TrainingBatches:
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


def _learner(job: Job, built: Built, batches: TrainingBatches, world: World) -> Learner:
    options, samples = job.experiment, batches.samples
    share = -(-options.training.batch_size // world.size)
    memory = Memory(world, share, job.folder, options.training.micro_batch)
    memory.synchronised = any(isinstance(part, nn.SyncBatchNorm) for part in built.module.modules())
    if options.task == "adversarial":
        classifier = None
        if world.is_first and job.classifier is not None:
            Mirror.of(options.storage, job.storage, job.classifier).pull()
            classifier = cast("Classifier", load_predictor(job.classifier, world.device))
        return Adversarial(options, built, samples, classifier, world, memory, steps=batches.steps)
    return Supervised(options, built, make_task(options), samples, world, memory, steps=batches.steps)


def _limits(job: Job, pack: Pack, learner: Learner, world: World) -> Callable[[int], Limits]:
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


def _heed(run: Mirror, learner: Learner, limits: Callable[[int], Limits], world: World) -> None:
    """Takes smaller parts than those with which memory ran out before the ranks were started again.

    Raises:
        TooLarge: there are none.
    """
    folder = run.folder
    run.pull_file(NOTE)
    note = Note.read(folder) or Note(0, "")
    if was_killed(folder):
        note = Note(0, KILLED)
    failed, cause = world.largest(note.failed), CAUSES[world.largest(CAUSES.index(note.cause))]
    if not cause:
        return
    memory, known = learner.memory, limits(learner.trained)
    failed = failed or memory.known(known)
    if world.is_first:
        Note(failed, cause).write(folder)
        run.push_file(NOTE)
    if cause != KILLED:  # which may have been another's fault, and says nothing of later runs
        known.learn(failed, fits=False)
    memory.smaller(failed, cause)


def _test_best(loop: Loop, test: torch.Tensor) -> Tested:
    """Puts the best epoch's weights into the network and evaluates them once on the test split, over all ranks."""
    started = time.perf_counter()
    best = loop.best_epoch
    loop.learner.use(loop.store.load(best).weights if loop.world.is_first else None)
    metrics, answers = loop.learner.evaluate(test, answers=True)
    tested = Tested(metrics, answers.cpu().numpy(), best, str(loop.store.path(best)), 0.0)
    return replace(tested, seconds=time.perf_counter() - started)
