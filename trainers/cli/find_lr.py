"""`find-lr`."""

import argparse

from trainers.cli.verb import Request, Verb


class FindLr(Verb):
    about = "the learning-rate range test: picture, table and suggestion"

    def add_flags(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--low", type=float, default=1e-7, metavar="LR", help="the first rate (default: 1e-7)")
        parser.add_argument("--high", type=float, default=10.0, metavar="LR", help="the last rate (default: 10)")
        parser.add_argument("--steps", type=int, default=100, metavar="N", help="optimiser steps (default: 100)")

    def do(self, request: Request) -> None:
        from trainers.runs.find_lr import find_lr

        given = request.arguments
        find_lr(*request.parts, low=given.low, high=given.high, steps=given.steps)
