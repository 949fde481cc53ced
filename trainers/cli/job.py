"""The command line of a job: `python jobs/NAME.py [VERB] [--config FILE] [--section.key VALUE …]`."""

import argparse
import difflib
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from trainers import config
from trainers.cli.evaluate import Evaluate
from trainers.cli.export import Export
from trainers.cli.find_lr import FindLr
from trainers.cli.plan import Plan
from trainers.cli.predict import Predict
from trainers.cli.shared import add_remote, guard, tell
from trainers.cli.train import Train
from trainers.cli.tune import Tune
from trainers.cli.verb import Request, Verb
from trainers.display import Display
from trainers.errors import RequestError
from trainers.garbage import collect_less
from trainers.remote.travel import check, check_sender, environment
from trainers.summary import check_place

VERBS: dict[str, Verb] = {
    "train": Train(), "tune": Tune(), "plan": Plan(), "find-lr": FindLr(), "evaluate": Evaluate(),
    "predict": Predict(), "export": Export(),
}  # fmt: skip


def main(job: str) -> NoReturn:
    """Runs this process's command line for a job and ends the process with its exit code.

    Args:
        job: the job's file, jobs/NAME.py; the experiment lies beside it in NAME.yaml.
    """
    collect_less()
    code = run(job, sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is written and closed; taking the interpreter apart with torch, ray and mlflow in it takes a second.
    os._exit(code)


def run(job: str, argv: Sequence[str]) -> int:
    """Runs a job's command line and returns its exit code: 0 done, 1 the work failed, 2 the request was wrong."""
    return guard(lambda: _run(Path(job), list(argv)))


def _run(job: Path, argv: list[str]) -> int:
    name = _take_verb(argv)
    # argparse would take a vector that begins with a minus for a flag; it leaves alone what has a space in it.
    spaced = [f" {argument}" if re.match(r"-[\d.]", argument) else argument for argument in argv]
    arguments, flags = config.parse(_parser(job, VERBS[name]), spaced)
    request = Request(arguments, flags, config.load(arguments.config, flags, arguments.preset))
    check_place(arguments.summary)
    if arguments.on is not None:
        return _send(job, name, argv, request)
    _refuse_without_on(arguments)
    VERBS[name].resume(request)
    _do(VERBS[name], request)
    return 0


def _do(verb: Verb, request: Request) -> None:
    request.display = Display(request.experiment.log.level)
    check_sender(request.experiment, request.display)
    try:
        verb.do(request)
    finally:
        request.display.close()
        request.summary.write(request.arguments.summary)


def _send(job: Path, verb: str, argv: list[str], request: Request) -> int:
    from trainers.remote.send import Command, Where, send

    given = request.arguments
    check(request.experiment, request.flags, VERBS[verb].named(given))
    command = Command(job, given.config, verb, argv, environment(given.pass_env))
    return send(Where(given.on, given.token), command, given.summary, tell)


def _refuse_without_on(arguments: argparse.Namespace) -> None:
    for flag, value in (("--token", arguments.token), ("--pass-env", arguments.pass_env)):
        if value:
            raise RequestError(f"{flag}: goes with --on, which names the cluster")


def _take_verb(argv: list[str]) -> str:
    if not argv or argv[0].startswith("-"):
        return "train"
    verb = argv.pop(0)
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VERBS)}"
        raise RequestError(f"{verb}: no such verb; {hint}")
    return verb


def _parser(job: Path, verb: Verb) -> config.Parser:
    beside = job.with_suffix(".yaml")
    described = f"verbs:\n{_list({name: one.about for name, one in VERBS.items()})}\n\n"
    if beside.exists() and (presets := config.presets(beside)):
        described += f"presets (--preset NAME) of {beside.name}:\n{_list(presets)}\n\n"
    parser = config.Parser(
        prog=f"python {job.name}" if job.parent == Path() else f"python {os.path.relpath(job)}",
        usage="%(prog)s [VERB] [PATH …] [--on URL] [--config FILE] [--section.key VALUE …]",
        description=f"{described}Options come from the YAML file, then the preset, then the environment "
        f"(TRAINERS__DATA__IMAGE_SIZE=64), then flags (--data.image-size 64); the later win.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", default=beside, help=f"the experiment (default: {beside.name})"
    )
    parser.add_argument("--preset", metavar="NAME", help="a named recipe of the experiment's file")
    parser.add_argument(
        "--summary",
        type=Path,
        metavar="FILE",
        help="write what came out as JSON; - prints it as the last line, `summary {…}`",
    )
    add_remote(parser)
    verb.add_flags(parser)
    return parser


def _list(table: Mapping[str, str]) -> str:
    width = max(map(len, table))
    return "\n".join(f"  {name:<{width}}  {meaning}" for name, meaning in table.items())
