"""What has been learnt of how many samples at a time fit: kept for later runs and trials in the storage folder.

With storage on S3 that is each machine's own: what another has learnt is tried once more there.
"""

import json
import resource
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from trainers.data.disk import locked
from trainers.data.pack_key import short_hash
from trainers.engine.world import World

# What a container may use (cgroups, version 2 and 1).
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
STEP = 256 * 2**20


class Limits:
    """The largest micro-batch known to fit, and the smallest known not to, of one network on one kind of device.

    Rank 0's file says what is known, so that all ranks know the same; a limit learnt with more or less memory, or with
    another number of ranks, is another's.

    Args:
        folder: of the files.
        what: what memory use depends on: the network, its input, precision, optimiser, …
    """

    def __init__(self, folder: Path, what: Mapping[str, Any], world: World) -> None:
        total = world.smallest(memory_of(world.device))
        self._what = {**what, "device": name_of(world.device), "memory": total, "world_size": world.size}
        self._file = folder / f"{short_hash(self._what)}.json"
        self._writes = world.is_first
        known = self._read() if world.is_first else {}
        self._fits = world.from_first(int(known.get("fits", 0)))
        self._fails = world.from_first(int(known.get("fails", 0)))

    def fits(self, size: int) -> bool | None:
        """Whether a micro-batch fits; None if that is not known."""
        if size <= self._fits:
            return True
        return False if self._fails and size >= self._fails else None

    def learn(self, size: int, *, fits: bool) -> None:
        """Remembers what a micro-batch did, which every rank must know; what contradicts it is forgotten.

        Args:
            size: in samples per rank.
            fits: whether it did.

        Raises:
            RequestError: the lock beside the file cannot be made.
            OSError: the file cannot be written.
        """
        self._fits, self._fails = _learnt(self._fits, self._fails, size, fits)
        if not self._writes:
            return
        with locked(self._file.with_suffix(".lock")):  # trials learn side by side
            known = self._read()
            both = _learnt(int(known.get("fits", 0)), int(known.get("fails", 0)), size, fits)
            aside = self._file.with_suffix(".new")
            aside.write_text(json.dumps({"fits": both[0], "fails": both[1], "of": self._what}, indent=1))
            aside.replace(self._file)

    def _read(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return known


def _learnt(fits: int, fails: int, size: int, fitted: bool) -> tuple[int, int]:
    if fitted:
        return max(fits, size), 0 if fails <= size else fails
    # There is less memory than when a larger one fitted: nothing is known of what lies between.
    return fits if fits < size else 0, min(fails or size, size)


def name_of(device: torch.device) -> str:
    """The device's model, such as `NVIDIA H100`; `cpu` for a CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def memory_of(device: torch.device) -> int:
    """Bytes that this process may use on a device: of the GPU, or of the machine, its cgroup or its address space.

    In steps of 256 MiB, so that processes with almost the same limit learn from each other.
    """
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        limits = [int(total * torch.cuda.get_per_process_memory_fraction(device))]
    else:
        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        limits = [psutil.virtual_memory().total] + ([] if allowed == resource.RLIM_INFINITY else [allowed])
        for cgroup in CGROUPS:
            with suppress(OSError, ValueError):  # no such cgroup, or `max`
                limits.append(int(cgroup.read_text()))
    return min(limits) // STEP * STEP
