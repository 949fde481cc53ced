"""Micro-batches that fit into memory: found at the start, made smaller when memory runs out, on all ranks together.

Memory decides only how many samples a rank takes at a time. The global batch stays what was asked for, since the
gradients of its micro-batches add up.
"""

import gc
import json
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from torch import nn

from trainers.engine.limits import Limits
from trainers.engine.world import World
from trainers.errors import WorkError

T = TypeVar("T")
_Place = Literal["outside", "preparing", "entered", "synchronised"]

EVALUATION_BATCH = 256  # samples per rank; without gradients it needs less memory than a quarter of it in training
# Where a container's kernel counts whom it has killed (cgroups, version 2 and 1).
KILLS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
NOTE = "memory.json"  # in a run's folder: what ranks that must be started again are to know

# What ran out. A rank tells the others the place of its cause in this list.
GPU, CPU, KILLED = "GPU memory", "CPU memory", "host memory (the worker was killed)"
CAUSES = ("", GPU, CPU, KILLED)

# What libraries say when an allocation fails. `illegal memory access` is not among them: that is a defect.
_SIGNS = {
    "CUDA out of memory": GPU,
    "CUBLAS_STATUS_ALLOC_FAILED": GPU,
    "CUDNN_STATUS_ALLOC_FAILED": GPU,
    "CUDNN_STATUS_NOT_SUPPORTED": GPU,
    "unable to find an engine": GPU,
    "DefaultCPUAllocator": CPU,
    "could not create a primitive": CPU,  # oneDNN, which keeps failing for that shape, but not for a smaller one
    "could not create a memory": CPU,
}


class TooLarge(WorkError):
    """Not even one sample at a time fits; every rank sees it at the same place."""


class OutOfMemory(WorkError):
    """Memory ran out where nothing can be repeated; what is started again takes smaller parts."""


def cause_of(error: BaseException) -> str | None:
    """What ran out, if an error means that memory did."""
    if isinstance(error, torch.OutOfMemoryError):
        return GPU
    if isinstance(error, MemoryError):
        return CPU
    text = str(error) if isinstance(error, RuntimeError) else ""
    return next((cause for sign, cause in _SIGNS.items() if sign in text), None)


@dataclass(frozen=True)
class Note:
    """What is known of a run's memory from before its ranks were started again.

    Attributes:
        failed: the micro-batch with which memory ran out; 0: that of then, whatever it was.
        cause: what ran out.
    """

    failed: int
    cause: str

    @classmethod
    def read(cls, folder: Path) -> "Note | None":
        """The note in a run's folder, if there is one."""
        try:
            content = json.loads((folder / NOTE).read_text())
            return cls(int(content["failed"]), str(content["cause"]))
        except (OSError, ValueError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        """Writes it, whole or not at all."""
        _write(folder / NOTE, json.dumps({"failed": self.failed, "cause": self.cause}))


def was_killed(folder: Path, events: Path | None = None) -> bool:
    """Whether the kernel has killed a process of this machine's container for memory since this was last asked.

    What was asked before is kept in the run's folder, by the machine's name.
    """
    found = next((path for path in ([events] if events else KILLS) if path.exists()), None)
    if found is None:
        return False
    count = next((int(line.split()[1]) for line in found.read_text().splitlines() if line.startswith("oom_kill ")), 0)
    kept = folder / f"oom-kills-{platform.node()}"
    before = int(kept.read_text()) if kept.exists() else count
    _write(kept, str(count))
    return count > before


class Memory:
    """How many samples each rank takes at a time, the same number on every rank.

    Args:
        share: the largest part of a global batch that a rank gets.
        most: an upper limit of the micro-batch; None: the share.
        folder: the run's own on this machine.

    Attributes:
        size: the micro-batch.
        cause: what ran out when it was last made smaller; empty if nothing did.
        evaluation: samples that this rank takes at a time where there are no gradients.
        renew: wraps the network anew, on all ranks together: a wrapper whose forward pass was not followed by the
            backward pass would take the next one for it.
    """

    def __init__(self, world: World, share: int, folder: Path, most: int | None = None) -> None:
        self.world, self.share, self.folder = world, share, folder
        self.size = min(most or share, share)
        self.cause = ""
        self.evaluation = EVALUATION_BATCH
        self.synchronised = False  # ranks wait for each other in forward passes, too: nothing can be repeated
        self.renew: Callable[[], None] = lambda: None
        self._limits: Limits | None = None
        self._rehearse: Callable[[int], None] | None = None
        self._at: _Place = "outside"
        self._statistics = _Statistics(nn.Module())

    def smaller(self, failed: int, cause: str) -> None:
        """Takes less than what has failed.

        Raises:
            TooLarge: there is nothing less.
        """
        if self._limits is not None:
            self._limits.learn(failed, fits=False)
        self.cause = cause
        if failed == 1:
            raise TooLarge(
                f"{cause or 'memory'} ran out with one sample at a time: take a smaller data.image_size or model, "
                "or workers with more memory"
            )
        self.size = min(self.size, self._even(2 * self._parts(failed)))

    def known(self, limits: Limits) -> int:
        """The micro-batch that was found when these limits were learnt."""
        size = self.size
        while size > 1 and limits.fits(size) is False:
            size = self._even(2 * self._parts(size))
        return size

    def watch(self, module: nn.Module) -> None:
        """Names the network, in training mode, whose BatchNorm statistics a failed attempt must not leave changed."""
        self._statistics = _Statistics(module)

    def find(self, rehearse: Callable[[int], None], limits: Limits) -> None:
        """Halves the micro-batch until it fits on every rank; remembers what it learns.

        Args:
            rehearse: tries a micro-batch on this rank alone, without collectives, and leaves everything as it was.
            limits: what is known already.

        Raises:
            TooLarge: not even one sample fits.
        """
        self._rehearse, self._limits = rehearse, limits
        while not (fits := limits.fits(self.size)):
            if fits is None and not self._fails(rehearse, self.size):
                limits.learn(self.size, fits=True)
                return
            self.smaller(self.size, self.cause)

    def attempt(self, work: Callable[[int], T]) -> T:
        """Does a rank's part of an optimiser step up to its gradients, again in smaller parts when memory runs out.

        All ranks call it alike. `work(size)` calls `entered` when its first inputs are made, and `agree` right before
        the backward pass in which ranks wait for each other: what fails between the two on any rank is repeated by all,
        and nothing is left of the failed attempt.

        Raises:
            TooLarge: not even one sample fits.
            OutOfMemory: memory ran out where the others wait already.
        """
        while True:
            self._statistics.keep()
            random = _random_state(self.world.device)
            self._at = "preparing"
            try:
                return work(self.size)
            except _PeerFailed as failure:
                cause = failure.cause
            except Exception as error:
                cause = self._told_to_peers(error)
            finally:
                self._at = "outside"
            # Out of the handlers, whose traceback would keep the failed attempt's tensors.
            self.smaller(self.size, cause)
            _give_back(self.world.device)
            self._statistics.restore()
            self.renew()
            if self._rehearse is not None and self._limits is not None:
                # Or memory could run out again where ranks wait for each other.
                self.find(self._rehearse, self._limits)
            _set_random_state(random, self.world.device)

    def out_of(self, cause: str, error: Exception) -> OutOfMemory:
        """What to raise where memory has run out and nothing can be repeated; notes it for those who start again."""
        Note(self.size, cause).write(self.folder)
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        return OutOfMemory(
            f"{cause} ran out with a micro-batch of {self.size}; who goes on takes smaller parts ({first_line})"
        )

    def entered(self) -> None:
        """From here on, until `agree`, a failure can be repeated."""
        if self._at == "preparing" and not self.synchronised:
            self._at = "entered"

    def agree(self) -> None:
        """Waits until every rank is about to enter its synchronised backward pass; none does if one has failed."""
        if self._at == "entered" and self.world.size > 1:
            if worst := self.world.largest(0):
                raise _PeerFailed(CAUSES[worst])
            self._at = "synchronised"

    def in_parts(self, samples: torch.Tensor, measure: Callable[[torch.Tensor], T]) -> Iterator[T]:
        """Does something without gradients and without the other ranks with as many samples at a time as fit."""
        done = 0
        while done < len(samples):
            part = samples[done : done + self.evaluation]
            try:
                result = measure(part)
            except Exception as error:
                cause = cause_of(error)
                if cause is None or len(part) == 1:
                    raise
            else:
                yield result
                done += len(part)
                continue
            self.evaluation = -(-len(part) // 2)
            _give_back(self.world.device)

    def _fails(self, rehearse: Callable[[int], None], size: int) -> bool:
        """Whether a micro-batch is too much for any rank."""
        code = 0
        try:
            rehearse(size)
        except Exception as error:
            code = CAUSES.index(_cause_or_raise(error))
        if code := self.world.largest(code):
            _give_back(self.world.device)
        self.cause = CAUSES[code] or self.cause
        return bool(code)

    def _told_to_peers(self, error: Exception) -> str:
        """What ran out, on whichever rank; every rank knows it then.

        Raises:
            OutOfMemory: the others wait elsewhere; this ends them, and the note is for those started in their place.
        """
        cause = _cause_or_raise(error)
        if self.world.size == 1:
            return cause
        if self._at != "entered":
            raise self.out_of(cause, error) from None
        return CAUSES[self.world.largest(CAUSES.index(cause))]

    def _parts(self, size: int) -> int:
        """How many parts of at most `size` the share is cut into."""
        return -(-self.share // size)

    def _even(self, parts: int) -> int:
        """The length of the longest of so many equal parts of the share."""
        return -(-self.share // min(parts, self.share))


class _PeerFailed(Exception):
    """Another rank has run out of memory before the backward pass that needs all ranks."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class _Statistics:
    """The buffers of a network that training changes: BatchNorm's running statistics."""

    def __init__(self, module: nn.Module) -> None:
        moving = [buffer for part in module.modules() if part.training for buffer in part.buffers(recurse=False)]
        # By type, so that each group is copied at once, on a GPU by one launch.
        types = dict.fromkeys(buffer.dtype for buffer in moving)
        self._groups = [[buffer for buffer in moving if buffer.dtype == dtype] for dtype in types]
        self._kept = [[buffer.clone() for buffer in group] for group in self._groups]

    @torch.no_grad()
    def keep(self) -> None:
        for group, kept in zip(self._groups, self._kept, strict=True):
            torch._foreach_copy_(kept, group)

    @torch.no_grad()
    def restore(self) -> None:
        for group, kept in zip(self._groups, self._kept, strict=True):
            torch._foreach_copy_(group, kept)


def _write(file: Path, text: str) -> None:
    """Whole or not at all, and not torn where several ranks write the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(file)


def _cause_or_raise(error: Exception) -> str:
    cause = cause_of(error)
    if cause is None:
        raise error
    return cause


def _random_state(device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _set_random_state(state: tuple[torch.Tensor, torch.Tensor | None], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)


def _give_back(device: torch.device) -> None:
    """Frees what a failed attempt has left: tensors in cycles with its traceback, and blocks cut for its sizes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
