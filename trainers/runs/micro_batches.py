"""What became of a run's micro-batch, in words: memory alone decides it, so a person must be told when it shrinks."""

from dataclasses import dataclass, field

from trainers.events import MicroBatch


@dataclass
class MicroBatches:
    """The micro-batches of a run, from the first on.

    Args:
        most: what `training.micro_batch` allows; None: all of a worker's share.
    """

    most: int | None
    sizes: list[int] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    _warned: bool = False

    def hear(self, event: MicroBatch) -> str | None:
        """Takes a micro-batch; the line that tells of it, if it is less than was asked for."""
        changed = not self.sizes or self.sizes[-1] != event.size
        if changed:
            when = f" (epoch {event.epoch} step {event.step}: {event.cause})" if event.cause else ""
            self.sizes.append(event.size)
            self.history.append(f"{event.size}{when}")
        less = _parts(event.share, event.size) > _parts(event.share, min(self.most or event.share, event.share))
        if not less or not changed:
            return None
        why = f"{event.cause} ran out in epoch {event.epoch}, step {event.step}" if event.cause else "more does not fit"
        return f"micro-batch {event.size} of {event.share}: {why}"

    def warning(self, event: MicroBatch) -> str | None:
        """That BatchNorm does not see what it would see of the whole share; said once."""
        if self._warned or event.normalised is None or event.size >= event.share:
            return None
        self._warned = True
        whole = event.normalised * event.share // event.size
        return (
            f"BatchNorm normalises over {event.normalised} samples, not {whole}, so training is not quite the same; "
            "where that matters, take a network with GroupNorm, or scale.sync_batchnorm on several GPUs"
        )

    def tags(self, event: MicroBatch) -> dict[str, str]:
        """What the run's record says of them."""
        tags = {"micro_batch": str(event.size), "micro_batch.history": ", ".join(self.history)}
        return tags if event.normalised is None else tags | {"batchnorm.samples": str(event.normalised)}


def _parts(share: int, size: int) -> int:
    """Into how many micro-batches a share is cut; the engine makes them of equal length, so their size says less."""
    return -(-share // size)
