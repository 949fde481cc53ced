"""What a verb of a job's command line is."""

import argparse
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from trainers import config
from trainers.display import Display
from trainers.experiment import Experiment
from trainers.summary import Summary


@dataclass(frozen=True)
class Request:
    """What a command line asks for.

    Attributes:
        arguments: all that are no options of the experiment.
        flags: options of the experiment that it sets.
        experiment: as it is with them.
    """

    arguments: argparse.Namespace
    flags: config.Tree
    experiment: Experiment


class Verb(ABC):
    """A verb: its own flags, and the call.

    What it does is imported when it is called: torch, ray and mlflow take seconds, for which no wrong flag waits.
    """

    about: ClassVar[str]

    def add_flags(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027  # most have none
        """Adds the flags that no other verb has."""

    def paths(self, arguments: argparse.Namespace) -> Iterable[tuple[str, str | None, str]]:
        """What its own flags name that may be a path of this machine: flag, value, what to give for a cluster."""
        return ()

    def resumed(self, request: Request) -> Request:
        """The same request, of what `--resume` names.

        Raises:
            RequestError: there is no such thing, or it cannot go on like that.
        """
        return request

    @abstractmethod
    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """Does it; what came out is in the summary.

        Raises:
            TrainersError: as the exit code says.
        """


def add_model(parser: argparse.ArgumentParser, more: str = "") -> None:
    """Adds the flag --from of verbs that take a trained model."""
    parser.add_argument(
        "--from",
        dest="reference",
        metavar="MODEL",
        help=f"models:/NAME/VERSION, models:/NAME@ALIAS, a folder or s3://… (default: the champion){more}",
    )
