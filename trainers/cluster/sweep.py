"""A sweep, and what is known of its trials from an earlier start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainers.events import Row
from trainers.experiment import Experiment
from trainers.storage import Mirror


@dataclass(frozen=True)
class Known:
    """A trial of an earlier start of the same sweep.

    Attributes:
        options: values of the searched options by their paths.
        state: an `interrupted` one goes on from its checkpoint, the others are not run again.
        history: its epochs' metrics in order.
    """

    options: dict[str, Any]
    state: Literal["finished", "stopped", "failed", "interrupted"]
    history: list[Row]


@dataclass(frozen=True)
class Sweep:
    """What trials must know. It travels to other machines, so its paths are absolute.

    Attributes:
        experiment: what all trials have in common, and how it is searched.
        name: of the sweep; trial 7 is the run NAME-007.
        pack_key: of the data that trials share, unless their own options ask for other data.
        features: what the frozen layers make of that data, if that is the same for all trials.
        classifier: that measures a GAN's samples.
        known: trials of earlier starts by their numbers.
    """

    experiment: Experiment
    name: str
    storage: Path
    pack_key: str
    features: Path | None = None
    classifier: Path | None = None
    known: Mapping[int, Known] = field(default_factory=dict)

    def folder(self, number: int) -> Path:
        """Where everything of a trial lies."""
        return self.storage / "training" / f"{self.name}-{number:03d}"

    def mirror(self, number: int) -> Mirror:
        """The same with its copy, if storage is on S3."""
        return Mirror.of(self.experiment.storage, self.storage, self.folder(number))
