"""`predict`."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from trainers.cli.verb import Request, Verb, add_model
from trainers.display import Display
from trainers.summary import Summary

NUMBERS = re.compile(r"\s*[-+\d.][-+\d.,eE\s]*")  # a vector


class Predict(Verb):
    """What a trained model says."""

    about = "images (files, folders, URLs) or numbers to answers; a GAN's samples"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """--from, --json and what is to be answered."""
        add_model(parser)
        parser.add_argument(
            "paths", nargs="*", metavar="PATH", help="images: files, folders, s3://…, http(s)://…; or numbers"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per input")

    def paths(self, arguments: argparse.Namespace) -> Iterator[tuple[str, str | None, str]]:
        """--from, and each input that is no vector."""
        yield "--from", arguments.reference, "give models:/NAME/VERSION"
        for path in arguments.paths:
            if Path(path).exists() or not NUMBERS.fullmatch(path):
                yield "predict", path, "give http(s)://…"

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """A line per input."""
        from trainers.trained.predict import predict

        given = request.arguments
        predict(request.experiment, display, summary, paths=given.paths, reference=given.reference, as_json=given.json)
