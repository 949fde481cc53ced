"""`train`."""

import argparse

from trainers.cli.verb import Request, Verb


class Train(Verb):
    about = "train, evaluate and register (the default)"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--resume", metavar="RUN", help="go on with the run of this name, or MLflow id")

    def resume(self, request: Request) -> None:
        if given := request.arguments.resume:
            from trainers.runs.resume import find_run

            request.arguments.resume, request.experiment = find_run(given, request.experiment, request.flags)

    def do(self, request: Request) -> None:
        from trainers.runs.train import train

        train(*request.parts, resume=request.arguments.resume)
