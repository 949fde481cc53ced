"""What a cluster has, what it can ever have, and how many workers its nodes hold: plain arithmetic."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from trainers.errors import RequestError

LIMITS = "TRAINERS_CLUSTER_LIMITS"  # the environment variable, on the head
NO_LIMIT = 1_000_000  # nodes, where an autoscaler may add any number


@dataclass(frozen=True)
class Nodes:
    """Nodes that are alike, or what is free on them.

    Attributes:
        cpus, gpus: cores and GPUs of each.
        memory: bytes of each; 0: not known.
        count: how many nodes.
        name: of their kind; empty: it has none.
    """

    cpus: int
    gpus: int = 0
    memory: int = 0
    count: int = 1
    name: str = ""

    def __str__(self) -> str:
        count = "any number of" if self.count >= NO_LIMIT else str(self.count)
        parts = [many(self.cpus, "core") if self.cpus else "no cores"]
        parts += [many(self.gpus, "GPU")] * bool(self.gpus)
        return f"{count} {self.name}{' ' * bool(self.name)}node{'s' * (self.count != 1)} of {' and '.join(parts)}"

    def room(self, cpus: int, gpu: bool) -> int:
        """How many workers of so many cores, and a GPU if `gpu`, they hold; a worker lies on one node."""
        each = self.cpus // cpus
        return self.count * (min(each, self.gpus) if gpu else each)


@dataclass(frozen=True)
class Cluster:
    """The nodes of a cluster, or this machine alone.

    Attributes:
        now: those that are there.
        free: what other jobs have not taken of them.
        limits: those that there can be in all, where nodes come and go; empty where they stay as they are.
    """

    now: tuple[Nodes, ...]
    free: tuple[Nodes, ...]
    limits: tuple[Nodes, ...] = ()

    @property
    def stages(self) -> tuple[tuple[Nodes, ...], ...]:
        """The nodes that are there, then those that can ever be."""
        return (self.now, self.limits) if self.limits else (self.now,)

    def __str__(self) -> str:
        grows = f"; there can be {listed(self.limits)}" if self.limits else ""
        return f"{listed(self.now)}{grows}"


def room(nodes: Iterable[Nodes], cpus: int, gpu: bool) -> int:
    """How many workers of so many cores, and a GPU if `gpu`, the nodes hold together."""
    return sum(kind.room(cpus, gpu) for kind in nodes)


def total(nodes: Iterable[Nodes], what: str) -> int:
    """All their `cpus` or `gpus` together."""
    return sum(kind.count * int(getattr(kind, what)) for kind in nodes)


def cores_each(nodes: Sequence[Nodes], workers: int, gpu: bool) -> int:
    """The most cores per worker with which they hold so many workers; 0: they do not."""
    most = max((kind.cpus for kind in nodes), default=0)
    return next((cpus for cpus in range(most, 0, -1) if room(nodes, cpus, gpu) >= workers), 0)


def listed(nodes: Iterable[Nodes]) -> str:
    """The nodes in words, those alike together, the largest first: `2 nodes of 8 cores, 1 node of no cores`."""
    alike: Counter[Nodes] = Counter()
    for kind in nodes:
        alike[replace(kind, count=1, memory=0)] += kind.count
    order = sorted(alike, key=lambda kind: (kind.gpus, kind.cpus, kind.name), reverse=True)
    return ", ".join(str(replace(kind, count=alike[kind])) for kind in order) or "no nodes"


def many(count: int, what: str) -> str:
    """`1 core`, `2 cores`."""
    return f"{count} {what}{'s' * (count != 1)}"


def read_limits(text: str) -> tuple[Nodes, ...]:
    """The kinds of nodes that TRAINERS_CLUSTER_LIMITS names.

    Args:
        text: a JSON list such as [{"name": "cpu", "cpus": 8, "gpus": 0, "max": 4}]; `memory`, bytes of each node, and
            `gpus` may be missing; a `max` of -1 is no limit.

    Raises RequestError: it is something else.
    """
    try:
        kinds = json.loads(text)
        found = tuple(
            Nodes(
                int(kind["cpus"]),
                int(kind.get("gpus", 0)),
                int(kind.get("memory", 0)),
                int(kind["max"]),
                str(kind["name"]),
            )
            for kind in kinds
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RequestError(
            f'{LIMITS}: is not a list such as [{{"name": "cpu", "cpus": 8, "gpus": 0, "max": 4}}] ({error!r}); the '
            "head's environment sets it"
        ) from None
    return tuple(replace(kind, count=NO_LIMIT) if kind.count < 0 else kind for kind in found if kind.count)
