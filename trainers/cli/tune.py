"""`tune`."""

import argparse
from dataclasses import replace

from trainers.cli.verb import Request, Verb
from trainers.display import Display
from trainers.summary import Summary


class Tune(Verb):
    """Many runs, the best of them registered."""

    about = "the sweep that the `search` section describes: many runs, the best of them registered"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """--resume."""
        parser.add_argument("--resume", metavar="SWEEP", help="go on with the sweep of this name, or MLflow id")

    def resumed(self, request: Request) -> Request:
        """The sweep's own experiment."""
        if not request.arguments.resume:
            return request
        from trainers.sweeps.tune import find_sweep

        request.arguments.resume, experiment = find_sweep(request.arguments.resume, request.experiment, request.flags)
        return replace(request, experiment=experiment)

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """The sweep."""
        from trainers.sweeps.tune import tune

        tune(request.experiment, display, summary, resume=request.arguments.resume)
