"""`train`."""

import argparse
from dataclasses import replace

from trainers.cli.verb import Request, Verb
from trainers.display import Display
from trainers.summary import Summary


class Train(Verb):
    """Trains, evaluates, registers."""

    about = "train, evaluate and register (the default)"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """--resume."""
        parser.add_argument("--resume", metavar="RUN", help="go on with the run of this name, or MLflow id")

    def resumed(self, request: Request) -> Request:
        """The run's own experiment."""
        if not request.arguments.resume:
            return request
        from trainers.runs.resume import find_run

        request.arguments.resume, experiment = find_run(request.arguments.resume, request.experiment, request.flags)
        return replace(request, experiment=experiment)

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """The run."""
        from trainers.runs.train import train

        train(request.experiment, display, summary, resume=request.arguments.resume)
