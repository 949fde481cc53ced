"""Every node of the cluster is asked whether it could do the work: the same versions, the same storage."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers import storage
from trainers.errors import RequestError
from trainers.experiment import Storage

if TYPE_CHECKING:
    from ray import ObjectRef

SECONDS = 60.0  # for all nodes together; a process that starts on a busy machine takes ten
PACKAGES = ("trainers", "torch", "ray")


@dataclass(frozen=True)
class Answer:
    """What a node says.

    Attributes:
        node: its address.
        complaint: an option or a package, and what is wrong with it there; empty: nothing.
        more: what else it was asked; None: nothing, or it could not say.
    """

    node: str
    complaint: str
    more: Any = None


def check_nodes(options: Storage) -> None:
    """Asks all nodes of the cluster that was joined, unless there is only one.

    Raises RequestError: with the first that could not do the work.
    """
    for answer in ask_nodes(options):
        if answer.complaint:
            raise RequestError(answer.complaint)


def ask_nodes(options: Storage, also: Callable[[Storage], Any] | None = None, seconds: float = SECONDS) -> list[Answer]:
    """What each node says, all asked at the same time, by their addresses; nothing where there is only one.

    A local storage folder must be one that all machines share: a file is written here, and each must read the same.

    Args:
        also: a function of a module, called there for the answer's `more`.
        seconds: how long to wait for them.

    Raises RequestError: storage cannot be written here.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: str(node["NodeManagerAddress"]))
    if len(alive) < 2:
        return []
    content = secrets.token_hex(16)
    seen = None if options.path.startswith("s3://") else storage.local_folder(options) / f".seen-{content[:8]}"
    question = ray.remote(num_cpus=0, max_retries=1)(_look)
    asked = {}
    try:
        if seen:
            seen.write_text(content)
        for node in alive:
            address, there = node["NodeManagerAddress"], NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ask = question.options(scheduling_strategy=there)
            asked[ask.remote(address, options, _versions(), seen, content, also)] = address
        ray.wait(list(asked), num_returns=len(asked), timeout=seconds)
        return [_answer(given, address, seconds) for given, address in asked.items()]
    finally:
        if seen:
            seen.unlink(missing_ok=True)


def _answer(given: "ObjectRef[Answer]", address: str, seconds: float) -> Answer:
    """What a node has answered, or that it has not."""
    import ray
    from ray.exceptions import GetTimeoutError

    try:
        return ray.get(given, timeout=0)
    except GetTimeoutError:
        why = f"does not answer within {seconds:.0f} s; see what it does in Ray's dashboard"
    except Exception as error:
        last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        why = f"cannot run trainers ({last[0]}); all nodes need the same image"
    return Answer(address, f"node {address} {why}")


def _versions() -> dict[str, str]:
    """By package, without what says for which accelerator it was built: `2.10.0` of `2.10.0+cu130`."""
    return {name: version(name).partition("+")[0] for name in PACKAGES}


def _look(
    address: str,
    options: Storage,
    versions: dict[str, str],
    seen: Path | None,
    content: str,
    also: Callable[[Storage], Any] | None,
) -> Answer:
    """Done on each node."""
    complaint = _other_version(address, versions) or _no_storage(address, options, seen, content)
    return Answer(address, complaint, also(options) if also else None)


def _other_version(address: str, versions: dict[str, str]) -> str:
    for name, there in _versions().items():
        if there != versions[name]:
            return f"{name}: node {address} has {there}, the job {versions[name]}; all need the same image"
    return ""


def _no_storage(address: str, options: Storage, seen: Path | None, content: str) -> str:
    if seen is None:
        try:
            storage.check_storage(options)
        except RequestError as error:
            return f"{error} (seen from node {address})"
        return ""
    with suppress(OSError):
        if seen.read_text() == content:
            return ""
    advice = "give a folder that all machines share, or s3://bucket/prefix"
    return f"storage.path: node {address} does not see {seen.parent}; {advice}"
