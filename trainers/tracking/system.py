"""Samples what the machine does, with MLflow's monitors, into the journal instead of MLflow."""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

INTERVAL_S = 5.0
FIRST_S = 1.0


class SystemMetrics(threading.Thread):
    """Logs CPU, memory, disk, network and GPU use every `interval_s` seconds under MLflow's `system/` names.

    MLflow's own SystemMetricsMonitor asks the server for the run's status at each sample and gives up for good when
    that fails once; hence only its monitors are used.
    """

    interval_s = INTERVAL_S

    def __init__(self, publish: Callable[[Mapping[str, float]], None]) -> None:
        super().__init__(name="trainers-system-metrics", daemon=True)
        self._publish = publish
        self._ended = threading.Event()

    def run(self) -> None:
        """Samples until `finish`."""
        try:
            monitors = _monitors()
            pause = min(FIRST_S, self.interval_s)  # a short run has at least one sample
            while not self._ended.wait(pause):
                self._publish({f"system/{name}": value for name, value in _sample(monitors).items()})
                pause = self.interval_s
        except Exception:
            # What the machine does is nice to know; a sandbox that hides it must not end a run.
            logging.getLogger("trainers").warning("tracking: no system metrics from here on", exc_info=True)

    def finish(self) -> None:
        """Ends the sampling; waits only for a sample that is being taken."""
        self._ended.set()
        self.join(timeout=1.0)


def _sample(monitors: list[Any]) -> dict[str, float]:
    values: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        values.update(monitor.aggregate_metrics())
        monitor.clear_metrics()
    return values


def _monitors() -> list[Any]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

    monitors: list[Any] = []
    kinds: list[Any] = [CPUMonitor, DiskMonitor, NetworkMonitor, GPUMonitor, ROCMMonitor]
    for kind in kinds:
        # A GPU needs a driver and a library, the network its counters: what is not here is not sampled, without a word.
        with contextlib.suppress(Exception):
            monitors.append(kind())
    return monitors
