"""A Ray cluster of several nodes on this machine: a head without cores, and nodes with one each."""

import contextlib
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from running import clean_environment

RAY = str(Path(sys.executable).with_name("ray"))


class Nodes:
    """The cluster; its nodes are processes of their own, as an administrator starts them.

    Args:
        settings: of its environment.

    Attributes:
        address: where jobs join it.
        environment: of its nodes and jobs.
    """

    def __init__(self, folder: str, settings: Mapping[str, str]) -> None:
        self._folder = folder
        usual = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        self.environment = clean_environment() | usual | settings
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        self._running = [self._start(f"--head --port={port} --num-cpus=0 --include-dashboard=false")]

    def add(self, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A node with one core.

        Args:
            before: what comes before its command line, such as unshare.
        """
        self._running.append(self._start(f"--address={self.address} --num-cpus=1", before))
        return self._running[-1]

    def _start(self, options: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Starts a node and waits for it. Two that start at a time on one machine get in each other's way."""
        agent = f"--dashboard-agent-listen-port={_free_port()}"
        process = subprocess.Popen(
            [*before, RAY, "start", "--block", *options.split(), agent, f"--temp-dir={self._folder}",
             "--object-store-memory=100000000"],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return process
        raise AssertionError("Ray did not start:\n" + "".join(said))

    def start(self, program: str) -> subprocess.Popen[str]:
        """Starts a Python program that joins the cluster, as a job's process does."""
        return subprocess.Popen(
            [sys.executable, "-u", "-c", JOIN + program],
            env=self.environment | {"RAY_ADDRESS": self.address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, program: str) -> str:
        """Runs such a program to its end; returns what it printed."""
        process = self.start(program)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def end(self, *which: subprocess.Popen[str]) -> None:
        """Ends nodes, all unless some are named, and what they have started."""
        running = [process for process in which or self._running if process.poll() is None]
        started = [child for process in running for child in psutil.Process(process.pid).children(recursive=True)]
        for process in running:
            process.terminate()
        _, left = psutil.wait_procs(started, timeout=5)
        for child in left:  # a head on which Ray Train has left its actor would take half a minute
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        for process in running:
            process.wait()


JOIN = """
from trainers.cluster import Runtime
runtime = Runtime(None, verbose=False)
runtime.wait()
"""


@contextlib.contextmanager
def nodes(**settings: str) -> Iterator[Nodes]:
    """A cluster of a head without cores and two nodes with one each; `settings` are of its environment."""
    # Not in tmp_path: a socket's path may have no more than 107 characters.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        cluster = Nodes(folder, settings)
        try:
            cluster.add()
            cluster.add()
            yield cluster
        finally:
            cluster.end()


def _free_port() -> int:
    """A port that nobody listens on, between those that Ray gives to workers and those of outgoing connections."""
    while True:
        port = random.SystemRandom().randint(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
