"""A Ray cluster of several nodes on this machine: a head without cores, and nodes with one each."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ports import kept
from running import clean_environment, end, ray_folder

RAY = str(Path(sys.executable).with_name("ray"))


class Nodes:
    """The cluster; its nodes are processes of their own, as an administrator starts them.

    Args:
        settings: of its environment.

    Attributes:
        address: where jobs join it.
        environment: of its nodes and jobs.
    """

    def __init__(self, folder: str, ports: contextlib.ExitStack, settings: Mapping[str, str]) -> None:
        self._folder, self._ports = folder, ports
        usual = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        self.environment = clean_environment() | usual | settings
        self._head = self._port()
        self.address = f"127.0.0.1:{self._head}"
        self._nodes: list[subprocess.Popen[str]] = []
        self._programs: list[subprocess.Popen[str]] = []

    def begin(self) -> None:
        """The head."""
        self._start(f"--head --port={self._head} --num-cpus=0 --include-dashboard=false")

    def add(self, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """A node with one core.

        Args:
            before: what comes before its command line, such as unshare.
        """
        return self._start(f"--address={self.address} --num-cpus=1", before)

    def _start(self, options: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Starts a node and waits for it. Two that start at a time on one machine get in each other's way."""
        agent = f"--dashboard-agent-listen-port={self._port()}"
        process = subprocess.Popen(
            [*before, RAY, "start", "--block", *options.split(), agent, f"--temp-dir={self._folder}",
             "--object-store-memory=100000000"],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._nodes.append(process)
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ray runtime started" in line:
                return process
        raise AssertionError("Ray did not start:\n" + "".join(said))

    def start(self, program: str) -> subprocess.Popen[str]:
        """Starts a Python program that joins the cluster, as a job's process does."""
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", JOIN + program],
            env=self.environment | {"RAY_ADDRESS": self.address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._programs.append(process)
        return process

    def run(self, program: str) -> str:
        """Runs such a program to its end; returns what it printed."""
        process = self.start(program)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return output

    def remove(self, node: subprocess.Popen[str]) -> None:
        """Ends a node, and waits until the others know."""
        end(node)
        left = sum(other.poll() is None for other in self._nodes)
        self.run(f"while sum(node['Alive'] for node in ray.nodes()) > {left}: time.sleep(0.1)")

    def end(self) -> None:
        """Ends all programs and nodes that still run."""
        end(*self._programs, *self._nodes)

    def _port(self) -> int:
        (port,) = self._ports.enter_context(kept())
        return port


JOIN = """
import time
from trainers.cluster import Runtime
runtime = Runtime(None, verbose=False)
runtime.wait()
import ray
"""


@contextlib.contextmanager
def nodes(**settings: str) -> Iterator[Nodes]:
    """A cluster of a head without cores and two nodes with one each; `settings` are of its environment."""
    with ray_folder() as folder, contextlib.ExitStack() as ports:
        cluster = Nodes(folder, ports, settings)
        try:
            cluster.begin()
            cluster.add()
            cluster.add()
            yield cluster
        finally:
            cluster.end()
