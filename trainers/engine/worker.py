"""A job as every rank does it: train, go on after a crash, test the best weights; also in one process, without Ray."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import cast

import torch

from trainers.data import Pack, reopen_pack
from trainers.engine.checkpoint import CheckpointStore
from trainers.engine.job import Job, assemble
from trainers.engine.learner import Learner
from trainers.engine.limits import Limits
from trainers.engine.loop import Diverged, Loop, find_micro_batch
from trainers.engine.lr_finder import run_range_test
from trainers.engine.note import NOTE, Note, was_killed
from trainers.engine.out_of_memory import CAUSES, KILLED, OutOfMemory, TooLarge, cause_of
from trainers.engine.supervised import Supervised
from trainers.engine.world import World
from trainers.errors import WorkError
from trainers.events import EpochDone, Event, Failed, Restored, Tested, Warned
from trainers.storage import Mirror
from trainers.tasks import describe


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
        loop, test, missing = assemble(job, pack, store, world)
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
            yield evaluate_best(loop, test)


def work_here(job: Job, *, cpus: int, gpu: bool) -> Iterator[Event]:
    """Does a job on this machine's first GPU, or on `cpus` cores, and yields its events as they come."""
    torch.set_num_threads(cpus)
    return work_alone(job, World(device=torch.device("cuda" if gpu else "cpu")))


def work_alone(job: Job, world: World) -> Iterator[Event]:
    """The same on a device. Where memory runs out and nothing can be repeated, it begins again from the checkpoint.

    That ends, because each time it takes smaller parts, and at last fails.
    """
    while True:
        try:
            yield from work(job, world)
        except OutOfMemory:
            continue
        return


def same_samples(pack: Pack, world: World) -> bool:
    """Whether all ranks have packed the same samples, each on its own machine."""
    if world.size == 1:
        return True
    identity = int(pack.split_fingerprint(range(len(pack.names))), 16) >> 1  # fits into a signed number
    return world.largest(identity) == world.smallest(identity)


def evaluate_best(loop: Loop, test: torch.Tensor) -> Tested:
    """Puts the best epoch's weights into the network and evaluates them once on the test split, over all ranks."""
    started = time.perf_counter()
    best = loop.best_epoch
    loop.learner.load_model_state(loop.store.load(best).weights if loop.world.is_first else None)
    metrics, answers = loop.learner.evaluate(test, answers=True)
    tested = Tested(metrics, answers.cpu().numpy(), best, str(loop.store.path(best)), 0.0)
    return replace(tested, seconds=time.perf_counter() - started)


def _train(job: Job, loop: Loop, world: World) -> Iterator[Event]:
    learner = loop.learner
    try:
        _shrink_after_restart(job.mirror, learner, loop.limits, world)
        if job.range_test is None:
            yield from loop.run()
            return
        learner.enter_stage(0)
        learner.begin_epoch(0)
        find_micro_batch(learner, loop.batches, loop.limits)
        yield from run_range_test(job.range_test, cast("Supervised", learner), loop.batches, world, job.experiment.seed)
    except Exception as error:
        if (cause := cause_of(error)) is None:
            raise
        # Between the passes, as in the optimiser's first step.
        raise learner.micro_batch.note_failure(cause, error) from None


def _shrink_after_restart(run: Mirror, learner: Learner, limits: Callable[[int], Limits], world: World) -> None:
    """Takes smaller parts than those with which memory ran out before the ranks were started again.

    Raises TooLarge: there are none.
    """
    run.pull_file(NOTE)
    note = Note.read(run.folder) or Note(0, "")
    if was_killed(run.folder):
        note = Note(0, KILLED)
    failed, cause = world.largest(note.failed), CAUSES[world.largest(CAUSES.index(note.cause))]
    if not cause:
        return
    micro_batch, known = learner.micro_batch, limits(learner.trained)
    failed = failed or micro_batch.size_within(known)
    if world.is_first:
        Note(failed, cause).write(run.folder)
        run.push_file(NOTE)
    if cause != KILLED:  # which may have been another's fault, and says nothing of later runs
        known.learn(failed, fits=False)
    micro_batch.shrink(failed, cause)
