"""A sweep under Ray Tune: trials side by side, their news on a queue to the driver."""

import logging
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray  # noqa: F401  # first, and waited for: another thread may be importing it
from ray.tune import (
    CheckpointConfig,
    FailureConfig,
    PlacementGroupFactory,
    RunConfig,
    TuneConfig,
    Tuner,
    grid_search,
    sample_from,
    with_parameters,
    with_resources,
)
from ray.tune.callback import Callback
from ray.tune.experiment import Trial as TuneTrial
from ray.util.queue import Queue

from trainers.cluster.killed import by_monitor, note_killed
from trainers.cluster.queues import make_queue
from trainers.cluster.resources import Resources
from trainers.cluster.schedulers import scheduler_of
from trainers.cluster.searcher import Numbers
from trainers.cluster.sweep import Sweep
from trainers.cluster.trial import CAUSE, OVER, TrialProcess
from trainers.errors import WorkError
from trainers.events import SweepEvent, TrialEnded, TrialStarted
from trainers.storage import Mirror, on_s3

DONE = "done"
DEAD = "The actor is dead"  # how Ray begins to say that a process has died


def sweep_on_ray(sweep: Sweep, resources: Resources, concurrent: int) -> Iterator[SweepEvent]:
    """Starts a sweep; what its trials tell can be read as it comes, until all have ended.

    A trial begins, tells and ends, in this order. It begins again, with other options, where pbt changes them. A trial
    whose process dies is begun again from its last checkpoint, up to `scale.max_failures` times; any other failure ends
    it, and it alone. Of the trials that are known to have ended nothing is told. Closing the iterator early leaves
    trials running: end them by stopping the Runtime.

    Args:
        resources: of each trial.
        concurrent: how many trials at a time.

    Raises WorkError: Ray Tune itself failed.
    """
    searcher = Numbers(sweep)
    if not len(searcher):
        return iter(())
    queue = make_queue()
    teller = _Teller(queue, sweep)
    failure: list[BaseException] = []

    def fit() -> None:
        try:
            _remove_leftovers(sweep)
            _tuner(sweep, resources, concurrent, searcher, teller).fit()
            teller.end_all(sweep.experiment.search.minutes)
        except BaseException as error:
            failure.append(error)
        finally:
            with suppress(Exception):  # Ray was stopped meanwhile: nobody listens any more
                queue.put(DONE)

    # In the main thread fit() would take Ctrl-C for itself.
    fitting = threading.Thread(target=fit, name="ray-tune", daemon=True)
    fitting.start()
    return _events(queue, fitting, failure, sweep)


def _events(
    queue: Queue, fitting: threading.Thread, failure: list[BaseException], sweep: Sweep
) -> Iterator[SweepEvent]:
    while (event := queue.get()) != DONE:
        yield event
    fitting.join()
    _remove_leftovers(sweep)
    if failure:
        lines = str(failure[0]).strip().splitlines() or [type(failure[0]).__name__]
        raise WorkError(f"the sweep failed: {lines[-1]} (--log.level debug shows all)") from failure[0]


def _place(sweep: Sweep) -> dict[str, Any]:
    """Where Ray Tune keeps what it hands from trial to trial, perhaps between machines: with pbt, checkpoints."""
    if not _hands_over_s3(sweep):
        return {"storage_path": str(sweep.storage / "ray")}
    from trainers.storage.s3 import for_arrow

    filesystem, path = for_arrow(f"{sweep.experiment.storage.path.rstrip('/')}/ray")
    return {"storage_path": path, "storage_filesystem": filesystem}


def _remove_leftovers(sweep: Sweep) -> None:
    """Removes what Ray keeps of a sweep and its trials, from which nothing goes on."""
    kept = sweep.storage / "ray"
    for folder in (kept / sweep.name, *kept.glob(f"{sweep.name}-[0-9]*")):
        shutil.rmtree(folder, ignore_errors=True)
    if _hands_over_s3(sweep):
        with suppress(WorkError):  # the sweep does not depend on it
            Mirror.of(sweep.experiment.storage, sweep.storage, kept / sweep.name).remove()


def _hands_over_s3(sweep: Sweep) -> bool:
    return sweep.experiment.search.scheduler == "pbt" and on_s3(sweep.experiment.storage)


def _tuner(sweep: Sweep, resources: Resources, concurrent: int, searcher: Numbers, teller: "_Teller") -> Tuner:
    experiment, search = sweep.experiment, sweep.experiment.search
    if experiment.log.level != "debug":
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # trials tell of their failures themselves
    trainable = with_parameters(TrialProcess, sweep=replace(sweep, known={}), resources=resources, queue=teller.queue)
    given: dict[str, Any] = {"search_alg": searcher, "num_samples": len(searcher), "max_concurrent_trials": concurrent}
    space: dict[str, Any] = {}
    if search.scheduler == "pbt":  # which takes no searcher, and has all trials under way, by turns
        given, options = {}, searcher.all()
        space = {
            "number": grid_search(list(options)),
            "options": sample_from(lambda spec: options[spec["config"]["number"]]),
        }
    return Tuner(
        with_resources(trainable, _bundle(resources)),
        param_space=space,
        tune_config=TuneConfig(
            **given,
            scheduler=scheduler_of(sweep),
            time_budget_s=search.minutes and search.minutes * 60,
            reuse_actors=True,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=RunConfig(
            name=sweep.name,
            **_place(sweep),
            callbacks=[teller],
            failure_config=FailureConfig(max_failures=experiment.scale.max_failures),
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False, num_to_keep=4),
            verbose=0,
        ),
    )


def _bundle(resources: Resources) -> PlacementGroupFactory:
    """What Ray Tune sets aside for a trial's own process."""
    if resources.workers > 1:
        # Its workers have what they need from Ray Train. It only waits for them, so it must take none of the cores,
        # but Ray Tune wants it to take something.
        return PlacementGroupFactory([{"memory": 1}])
    return PlacementGroupFactory([{"CPU": resources.cpus, "GPU": int(resources.gpu)}])


def _name(trial: TuneTrial) -> str:
    return f"{trial.config['number']:03d}"


def _number(trial: TuneTrial) -> int:
    """As its name says: pbt hands on the number in a trial's `config` with the rest of it."""
    return int(str(trial))


def _error_of(trial: TuneTrial) -> list[str]:
    """What Ray says of the last end of a trial's process, line by line."""
    told = Path(trial.error_file).read_text() if trial.error_file else DEAD
    return told.rpartition("Failure # ")[2].strip().splitlines()


class _Teller(Callback):
    """Tells when trials begin and end, on the queue on which they tell the rest themselves."""

    def __init__(self, queue: Queue, sweep: Sweep) -> None:
        self.queue, self._sweep = queue, sweep
        self._running: dict[int, dict[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial begins, or goes on after its process was lost or it had to wait."""
        number, options = _number(trial), trial.config["options"]
        if self._running.get(number) != options:
            self._running[number] = options
            self.queue.put(TrialStarted(number, options))

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial has ended by itself, or the scheduler stops it."""
        result = trial.last_result
        if result.get(CAUSE):
            self._end(_number(trial), "failed", result[CAUSE])
        else:
            self._end(_number(trial), "finished" if result.get(OVER) else "stopped")

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process was lost, and another goes on in its place: with smaller parts where memory was why."""
        if by_monitor(RuntimeError("\n".join(_error_of(trial)))):
            note_killed(self._sweep.mirror(_number(trial)))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process was lost too often."""
        last, times = _error_of(trial)[-1], trial.num_failures
        why = "killed, perhaps for want of memory" if last.startswith(DEAD) else last
        self._end(_number(trial), "failed", f"its process was lost {times} time{'s' * (times > 1)}: {why}")

    def end_all(self, minutes: float | None) -> None:
        """The sweep is over for all that still run: its time is."""
        for number in list(self._running):
            self._end(number, "stopped", f"the time is over (search.minutes {minutes})")

    def _end(self, number: int, state: Any, cause: str = "") -> None:
        self._running.pop(number, None)
        self.queue.put(TrialEnded(number, state, cause))
