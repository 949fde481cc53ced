"""`evaluate`."""

import argparse
from collections.abc import Iterator

from trainers.cli.verb import Request, Verb, add_model
from trainers.display import Display
from trainers.summary import Summary


class Evaluate(Verb):
    """What a trained model is worth."""

    about = "a trained model on a split: metrics, confusion matrix, most confused, top losses"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        """--from, --split."""
        add_model(parser, "; or `weights`: the experiment's network with model.weights")
        parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="which images")

    def paths(self, arguments: argparse.Namespace) -> Iterator[tuple[str, str | None, str]]:
        """--from."""
        if arguments.reference != "weights":
            yield "--from", arguments.reference, "give models:/NAME/VERSION"

    def do(self, request: Request, display: Display, summary: Summary) -> None:
        """The evaluation."""
        from trainers.trained.evaluate import evaluate

        given = request.arguments
        evaluate(request.experiment, display, summary, reference=given.reference, split=given.split)
