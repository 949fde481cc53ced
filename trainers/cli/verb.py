"""What a verb of a job's command line is."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from trainers import config
from trainers.display import Display
from trainers.experiment import Experiment
from trainers.summary import Summary

# What a flag names that may be a path of this machine: the flag, its value, what to give for a cluster.
Named = tuple[str, str | None, str]


@dataclass
class Request:
    """A command line: its own arguments, the options that it sets, the experiment with them; and where it answers."""

    arguments: argparse.Namespace
    flags: config.Tree
    experiment: Experiment
    summary: Summary = field(default_factory=Summary)
    display: Display = field(init=False)

    @property
    def parts(self) -> tuple[Experiment, Display, Summary]:
        """What every verb's call begins with."""
        return self.experiment, self.display, self.summary


class Verb(ABC):
    """A verb: its own flags, and the call.

    What it does is imported when it is called: torch, ray and mlflow take seconds, for which no wrong flag waits.
    """

    about: ClassVar[str]

    def add_flags(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027  # some have none
        """Adds the flags that are this verb's own."""

    def named(self, arguments: argparse.Namespace) -> Iterable[Named]:
        """What its own flags name that may be a path of this machine."""
        return ()

    def resume(self, request: Request) -> None:  # noqa: B027
        """Puts the experiment of what `--resume` names into the request; raises RequestError if it cannot go on."""

    @abstractmethod
    def do(self, request: Request) -> None:
        """Does it, notes in the summary what came out, and raises TrainersErrors as the exit code says."""


def add_model(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Adds the flag --from of verbs that take a trained model."""
    parser.add_argument(
        "--from",
        dest="reference",
        metavar="MODEL",
        help=f"models:/NAME/VERSION, models:/NAME@ALIAS, a folder or s3://… (default: the champion){more}",
    )
