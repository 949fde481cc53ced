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
from trainers.cli.shared import add_remote, guard, tell
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.garbage import collect_less
from trainers.remote.travel import check, check_sender, environment
from trainers.summary import Summary, check_place

VERBS = {
    "train": "train, evaluate and register (the default)",
    "tune": "the sweep that the `search` section describes: many runs, the best of them registered",
    "plan": "what would run, on what; trains nothing",
    "find-lr": "the learning-rate range test: picture, table and suggestion",
    "evaluate": "a trained model on a split: metrics, confusion matrix, most confused, top losses",
    "predict": "images (files, folders, URLs) or numbers to answers; a GAN's samples",
    "export": "a trained model as weights and as a whole program, both checked",
}


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
    verb = _take_verb(argv)
    # argparse would take a vector that begins with a minus for a flag; it leaves alone what has a space in it.
    spaced = [f" {argument}" if re.match(r"-[\d.]", argument) else argument for argument in argv]
    parser = _parser(job, verb)
    arguments, flags = config.parse(parser, spaced)
    experiment = config.load(arguments.config, flags, arguments.preset)
    check_place(arguments.summary)
    if arguments.on is not None:
        return _send(job, verb, argv, arguments, experiment, flags)
    _refuse_without_on(arguments)
    if getattr(arguments, "resume", None):
        arguments.resume, experiment = _find_earlier(verb, arguments.resume, experiment, flags)
    display = Display(experiment.log.level)
    check_sender(experiment, display)
    summary = Summary()
    try:
        _call(verb, arguments, experiment, display, summary)
    finally:
        display.close()
        summary.write(arguments.summary)
    return 0


def _send(
    job: Path, verb: str, argv: list[str], arguments: argparse.Namespace, experiment: Experiment, flags: config.Tree
) -> int:
    from trainers.remote.send import Command, Where, send

    given = vars(arguments)
    check(experiment, flags, paths=given.get("paths", ()), reference=given.get("reference"), to=given.get("to"))
    env = environment(arguments.pass_env)
    command = Command(job, arguments.config, verb, argv, env)
    return send(Where(arguments.on, arguments.token), command, arguments.summary, tell)


def _refuse_without_on(arguments: argparse.Namespace) -> None:
    for flag, value in (("--token", arguments.token), ("--pass-env", arguments.pass_env)):
        if value:
            raise RequestError(f"{flag}: goes with --on, which names the cluster")


def _find_earlier(verb: str, reference: str, experiment: Experiment, flags: config.Tree) -> tuple[str, Experiment]:
    """The run or sweep that goes on, and its experiment."""
    if verb == "tune":
        from trainers.sweeps.tune import find_sweep

        return find_sweep(reference, experiment, flags)
    from trainers.runs.train import find_run

    return find_run(reference, experiment, flags)


def _call(verb: str, arguments: argparse.Namespace, experiment: Experiment, display: Display, summary: Summary) -> None:
    # Imported here: torch, ray and mlflow take seconds, which a wrong flag need not wait for.
    if verb == "train" and experiment.compare:
        from trainers.sweeps.compare import compare

        compare(experiment, display, summary)
    elif verb == "train":
        from trainers.runs.train import train

        train(experiment, display, summary, resume=arguments.resume)
    elif verb == "tune":
        from trainers.sweeps.tune import tune

        tune(experiment, display, summary, resume=arguments.resume)
    elif verb == "plan":
        from trainers.runs.plan import plan

        plan(experiment, display, summary)
    elif verb == "find-lr":
        from trainers.runs.find_lr import find_lr

        find_lr(experiment, display, summary, low=arguments.low, high=arguments.high, steps=arguments.steps)
    elif verb == "export":
        from trainers.trained.export import export

        export(experiment, display, summary, reference=arguments.reference, to=arguments.to)
    elif verb == "evaluate":
        from trainers.trained.evaluate import evaluate

        evaluate(experiment, display, summary, reference=arguments.reference, split=arguments.split)
    else:
        from trainers.trained.predict import predict

        predict(
            experiment, display, summary, paths=arguments.paths, reference=arguments.reference, as_json=arguments.json
        )


def _take_verb(argv: list[str]) -> str:
    if not argv or argv[0].startswith("-"):
        return "train"
    verb = argv.pop(0)
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(VERBS)}"
        raise RequestError(f"{verb}: no such verb; {hint}")
    return verb


def _parser(job: Path, verb: str) -> config.Parser:
    beside = job.with_suffix(".yaml")
    described = f"verbs:\n{_list(VERBS)}\n\n"
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
    if verb == "train":
        parser.add_argument("--resume", metavar="RUN", help="go on with the run of this name, or MLflow id")
    if verb == "tune":
        parser.add_argument("--resume", metavar="SWEEP", help="go on with the sweep of this name, or MLflow id")
    if verb == "find-lr":
        parser.add_argument("--low", type=float, default=1e-7, metavar="LR", help="the first rate (default: 1e-7)")
        parser.add_argument("--high", type=float, default=10.0, metavar="LR", help="the last rate (default: 10)")
        parser.add_argument("--steps", type=int, default=100, metavar="N", help="optimiser steps (default: 100)")
    if verb == "export":
        parser.add_argument("--to", type=Path, metavar="FOLDER", help="a new folder (default: in the storage folder)")
    if verb in ("evaluate", "predict", "export"):
        parser.add_argument(
            "--from",
            dest="reference",
            metavar="MODEL",
            help="models:/NAME/VERSION, models:/NAME@ALIAS, a folder or s3://… (default: the champion); for evaluate "
            "also `weights`: the experiment's network with model.weights",
        )
    if verb == "evaluate":
        parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="which images")
    if verb == "predict":
        parser.add_argument(
            "paths", nargs="*", metavar="PATH", help="images: files, folders, s3://…, http(s)://…; or numbers"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object per input")
    return parser


def _list(table: Mapping[str, str]) -> str:
    width = max(map(len, table))
    return "\n".join(f"  {name:<{width}}  {meaning}" for name, meaning in table.items())
