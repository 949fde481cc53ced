"""Starts a local Ray or joins the cluster that this process belongs to, without its chatter."""

import logging
import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from trainers.errors import RequestError

# All set before ray is imported; what the user has set wins.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # or a late call, after the end, would start another Ray
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming default; leaves CUDA_VISIBLE_DEVICES alone on CPU workers
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # each run waits about two of these at its end
    "TORCH_PROCESS_GROUP_SHUTDOWN_TIMEOUT_S": "5",  # of ranks that wait for one that has failed
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths, as of weights, are seen from where the job was started
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # trials tell what is to be recorded
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # a sweep goes on from its own record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
QUIET_SETTINGS = {
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",  # else SIGTERM, by which a job is stopped, prints a stack
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_CONTROLLER_STRUCTURED_LOGGING": "0",
    "RAY_TRAIN_ENABLE_WORKER_STRUCTURED_LOGGING": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old one can be silent
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
# Only where nothing but this process uses Ray.
LOCAL_SETTINGS = {
    "RAY_TRAIN_METRICS_ENABLED": "0",  # nobody reads them
    "RAY_enable_metrics_collection": "0",
    "RAY_prestart_worker_first_driver": "0",  # Ray Train's processes have an environment that these would not fit
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # no cloud reclaims this machine
}


class Runtime:
    """Ray, started in the background while other things are made ready.

    Joins the cluster at RAY_ADDRESS (which Ray sets for submitted jobs), else starts a Ray of its own on this machine.

    Args:
        workers: how many workers a local Ray must have room for at least.
        verbose: let Ray speak.
        check: what is to be tried of a cluster as soon as it was joined; raises RequestError.
    """

    def __init__(self, workers: int | None, *, verbose: bool, check: Callable[[], None] | None = None) -> None:
        self.address = os.environ.get("RAY_ADDRESS")
        self.verbose = verbose
        self._workers, self._check = workers, check
        self._error: BaseException | None = None
        self._up, self._end = threading.Event(), threading.Event()
        for name, value in self._settings().items():
            os.environ.setdefault(name, value)
        self._thread = threading.Thread(target=self._live, name="ray", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Waits until Ray is up, and a cluster was checked.

        Raises RequestError: the cluster at RAY_ADDRESS cannot be joined, or does not pass its check.
        """
        self._up.wait()
        if self._error is not None:
            if self.address and not isinstance(self._error, RequestError):
                cause = str(self._error).strip().splitlines()[0] if str(self._error).strip() else repr(self._error)
                raise RequestError(f"RAY_ADDRESS: cannot join the Ray cluster at {self.address}: {cause}") from None
            raise self._error

    def stop(self) -> None:
        """Ends what was started; on a cluster, leaves it. Workers of this job end with it."""
        self._end.set()
        self._thread.join()

    def abandon(self) -> None:
        """Ends what was started at once, when this process is about to end; on a cluster, ending is enough.

        Ray's own shutdown must not be called while a thread still waits for Ray Train: it aborts the process.
        """
        if self.address is None:
            started = psutil.Process().children(recursive=True)
            for process in started:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(started, timeout=5)

    def _settings(self) -> dict[str, str]:
        local = {} if self.address else LOCAL_SETTINGS
        return SETTINGS | local | ({} if self.verbose else QUIET_SETTINGS)

    def _live(self) -> None:
        # Linux ends Ray's processes with the thread that started them (PR_SET_PDEATHSIG), so it stays until the end.
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import ray

                if not self.verbose:
                    logging.getLogger("ray").setLevel(logging.ERROR)
                ray.init(**self._options())
            if self.address and self._check:
                self._check()
        except BaseException as error:
            self._error = error
        self._up.set()
        self._end.wait()
        import ray

        ray.shutdown()

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "logging_level": logging.INFO if self.verbose else logging.ERROR,
            "log_to_driver": self.verbose,
            "configure_logging": self.verbose,
        }
        if self.address:
            return {"address": self.address, **options}
        # "local": a file left by a cluster that has died must not make Ray try to join it.
        cores = os.cpu_count() or 1
        return {
            "address": "local",
            "num_cpus": max(cores, self._workers or 1),
            "include_dashboard": False,
            "runtime_env": {"worker_process_setup_hook": "trainers.garbage.collect_less"},
            **options,
        }
