"""`tune`."""

import argparse

from trainers.cli.verb import Request, Verb


class Tune(Verb):
    about = "the sweep that the `search` section describes: many runs, the best of them registered"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--resume", metavar="SWEEP", help="go on with the sweep of this name, or MLflow id")

    def resume(self, request: Request) -> None:
        if given := request.arguments.resume:
            from trainers.sweeps.tune import find_sweep

            request.arguments.resume, request.experiment = find_sweep(given, request.experiment, request.flags)

    def do(self, request: Request) -> None:
        from trainers.sweeps.tune import tune

        tune(*request.parts, resume=request.arguments.resume)
