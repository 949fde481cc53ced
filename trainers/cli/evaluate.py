"""`evaluate`."""

import argparse
from collections.abc import Iterator

from trainers.cli.verb import Named, Request, Verb, add_model


class Evaluate(Verb):
    about = "a trained model on a split: metrics, confusion matrix, most confused, top losses"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        add_model(parser, "; or `weights`: the experiment's network with model.weights")
        parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="which images")

    def named(self, arguments: argparse.Namespace) -> Iterator[Named]:
        if arguments.reference != "weights":
            yield "--from", arguments.reference, "give models:/NAME/VERSION"

    def do(self, request: Request) -> None:
        from trainers.trained.evaluate import evaluate

        given = request.arguments
        evaluate(*request.parts, reference=given.reference, split=given.split)
