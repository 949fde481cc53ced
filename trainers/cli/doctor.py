"""`trainers doctor`."""

import argparse

from trainers.cli.shared import add_remote

ABOUT = "whether this machine, or a cluster, has what a job needs"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storage", metavar="PATH", help="a folder or s3://bucket/prefix (default: as of a job)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_remote(parser, "this machine")


def run(arguments: argparse.Namespace) -> int:
    from trainers.doctor.report import doctor

    return doctor(
        arguments.storage, as_json=arguments.json, on=arguments.on, token=arguments.token, pass_env=arguments.pass_env
    )
