"""`export`."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from trainers.cli.verb import Named, Request, Verb, add_model


class Export(Verb):
    about = "a trained model as weights and as a whole program, both checked"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--to", type=Path, metavar="FOLDER", help="a new folder (default: in the storage folder)")
        add_model(parser)

    def named(self, arguments: argparse.Namespace) -> Iterator[Named]:
        yield "--from", arguments.reference, "give models:/NAME/VERSION"
        yield "--to", None if arguments.to is None else str(arguments.to), "leave it out"

    def do(self, request: Request) -> None:
        from trainers.trained.export import export

        export(*request.parts, reference=request.arguments.reference, to=request.arguments.to)
