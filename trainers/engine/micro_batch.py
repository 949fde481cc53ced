"""Micro-batches that fit into memory: found at the start, made smaller when memory runs out, on all ranks together.

Memory decides only how many samples a rank takes at a time. The global batch stays what was asked for, since the
gradients of its micro-batches add up.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from torch import nn

from trainers.engine.limits import Limits
from trainers.engine.note import Note
from trainers.engine.out_of_memory import CAUSES, OutOfMemory, TooLarge, cause_or_raise, free_leftovers
from trainers.engine.rollback import Rollback
from trainers.engine.world import World

T = TypeVar("T")
_Place = Literal["outside", "preparing", "entered", "synchronised"]


class AutoMicroBatch:
    """The micro-batch: how many samples each rank takes at a time, the same number on every rank.

    Args:
        share: the largest part of a global batch that a rank gets.
        most: an upper limit of the micro-batch; None: the share.
        folder: the run's own on this machine.

    Attributes:
        size: the micro-batch.
        cause: what ran out when it was last made smaller; empty if nothing did.
        renew: wraps the network anew, on all ranks together: a wrapper whose forward pass was not followed by the
            backward pass would take the next one for it.
    """

    def __init__(self, world: World, share: int, folder: Path, most: int | None = None) -> None:
        self.world, self.share, self.folder = world, share, folder
        self.size = min(most or share, share)
        self.cause = ""
        self.synchronised = False  # ranks wait for each other in forward passes, too: nothing can be repeated
        self.renew: Callable[[], None] = lambda: None
        self._limits: Limits | None = None
        self._rehearse: Callable[[int], None] | None = None
        self._at: _Place = "outside"
        self._before = Rollback(nn.Module(), world.device)

    def shrink(self, failed: int, cause: str) -> None:
        """Takes less than the micro-batch that has failed; raises TooLarge: there is nothing less."""
        if self._limits is not None:
            self._limits.learn(failed, fits=False)
        self.cause = cause
        if failed == 1:
            raise TooLarge(
                f"{cause or 'memory'} ran out with one sample at a time: take a smaller data.image_size or model, "
                "or workers with more memory"
            )
        self.size = min(self.size, self._halved(failed))

    def size_within(self, limits: Limits) -> int:
        """The micro-batch that `shrink_to_fit` would begin with, or that it found when these limits were learnt."""
        size = self.size
        while size > 1 and limits.fits(size) is False:
            size = self._halved(size)
        return size

    def watch(self, module: nn.Module) -> None:
        """Names the network, in training mode, whose BatchNorm statistics a failed attempt must not leave changed."""
        self._before = Rollback(module, self.world.device)

    def shrink_to_fit(self, rehearse: Callable[[int], None], limits: Limits) -> None:
        """Halves the micro-batch until it fits on every rank; remembers what it learns.

        Args:
            rehearse: tries a micro-batch on this rank alone, without collectives, and leaves everything as it was.
            limits: what is known already.

        Raises TooLarge: not even one sample fits.
        """
        self._rehearse, self._limits = rehearse, limits
        while not (fits := limits.fits(self.size)):
            if fits is None and not self._fails(rehearse, self.size):
                limits.learn(self.size, fits=True)
                return
            self.shrink(self.size, self.cause)

    def run_or_shrink(self, work: Callable[[int], T]) -> T:
        """Does a rank's part of an optimiser step up to its gradients, again in smaller parts when memory runs out.

        All ranks call it alike. What fails between `entered` and `agree` on any rank is repeated by all, and nothing is
        left of the failed attempt.

        Args:
            work: is given the micro-batch, in samples. It calls `entered` when its first inputs are made, and `agree`
                right before the backward pass in which ranks wait for each other.

        Raises:
            TooLarge: not even one sample fits.
            OutOfMemory: memory ran out where the others wait already.
            Exception: what `work` raises, if it is not that memory ran out.
        """
        while True:
            self._before.keep()
            self._at = "preparing"
            try:
                return work(self.size)
            except _PeerFailed as failure:
                cause = str(failure)
            except Exception as error:
                cause = self._told_to_peers(error)
            finally:
                self._at = "outside"
            # Out of the handlers, whose traceback would keep the failed attempt's tensors.
            self.shrink(self.size, cause)
            free_leftovers()
            self._before.restore()
            self.renew()
            if self._rehearse is not None and self._limits is not None:
                # Or memory could run out again where ranks wait for each other.
                self.shrink_to_fit(self._rehearse, self._limits)

    def note_failure(self, cause: str, error: Exception) -> OutOfMemory:
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

    def _fails(self, rehearse: Callable[[int], None], size: int) -> bool:
        """Whether a micro-batch is too much for any rank."""
        code = 0
        try:
            rehearse(size)
        except Exception as error:
            code = CAUSES.index(cause_or_raise(error))
        if code := self.world.largest(code):
            free_leftovers()
        self.cause = CAUSES[code] or self.cause
        return bool(code)

    def _told_to_peers(self, error: Exception) -> str:
        """What ran out, on whichever rank; every rank knows it then.

        Raises OutOfMemory: the others wait elsewhere; this ends them, and the note is for those started in their place.
        """
        cause = cause_or_raise(error)
        if self.world.size == 1:
            return cause
        if self._at != "entered":
            raise self.note_failure(cause, error) from None
        return CAUSES[self.world.largest(CAUSES.index(cause))]

    def _halved(self, size: int) -> int:
        """The longest part of the share when it is cut into twice as many equal parts as of at most `size`."""
        parts = min(2 * -(-self.share // size), self.share)
        return -(-self.share // parts)


class _PeerFailed(Exception):
    """Another rank has run out of memory, of this cause, before the backward pass that needs all ranks."""
