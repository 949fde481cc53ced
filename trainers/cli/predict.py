"""`predict`."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from trainers.cli.verb import Named, Request, Verb, add_model

NUMBERS = re.compile(r"\s*[-+\d.][-+\d.,eE\s]*")  # a vector


class Predict(Verb):
    about = "images (files, folders, URLs) or numbers to answers; a GAN's samples"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_model(parser)
        parser.add_argument(
            "paths", nargs="*", metavar="PATH", help="images: files, folders, s3://…, http(s)://…; or numbers"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per input")

    def named(self, arguments: argparse.Namespace) -> Iterator[Named]:
        yield "--from", arguments.reference, "give models:/NAME/VERSION"
        for path in arguments.paths:
            if Path(path).exists() or not NUMBERS.fullmatch(path):
                yield "predict", path, "give http(s)://…"

    def do(self, request: Request) -> None:
        from trainers.trained.predict import predict

        given = request.arguments
        predict(*request.parts, paths=given.paths, reference=given.reference, as_json=given.json)
