"""The console script `trainers`: commands of the service that belong to no job."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trainers import config
from trainers.cli.shared import add_cluster, add_remote, guard, tell
from trainers.display import Display
from trainers.errors import RequestError
from trainers.summary import check_place

CLUSTER = "RAY_API_SERVER_ADDRESS, or http://127.0.0.1:8265"


def service(argv: Sequence[str] | None = None) -> int:
    """Runs a command line of `trainers` and returns its exit code.

    Args:
        argv: without the program's name; None: of this process.
    """
    return guard(lambda: _run(_parser().parse_args(argv)))


def _run(arguments: argparse.Namespace) -> int:
    # Imported here: mlflow takes seconds, which a wrong flag need not wait for.
    Display()
    if arguments.command == "jobs":
        return _jobs(arguments)
    if arguments.command == "doctor":
        from trainers.doctor.report import doctor

        return doctor(
            arguments.storage,
            as_json=arguments.json,
            on=arguments.on,
            token=arguments.token,
            pass_env=arguments.pass_env,
        )
    from trainers import tracking

    if arguments.command == "ui":
        tracking.serve_ui(arguments.storage.resolve(), arguments.port)
    else:
        count = tracking.replay(arguments.folder, arguments.uri)
        print(f"sent {count} records of {arguments.folder}")  # noqa: T201
    return 0


def _jobs(arguments: argparse.Namespace) -> int:
    from trainers.cli import jobs
    from trainers.remote.send import Where

    where = Where(arguments.on, arguments.token)
    if arguments.action == "list":
        if arguments.id is not None or arguments.summary is not None:
            raise RequestError("jobs list: takes no id and no --summary; `follow ID` shows one job")
        jobs.list_jobs(where, tell)
        return 0
    if arguments.id is None:
        raise RequestError(f"jobs {arguments.action}: name the job's id; `trainers jobs` lists them")
    if arguments.action == "stop":
        jobs.stop_job(where, arguments.id, tell)
        return 0
    check_place(arguments.summary)
    return jobs.follow_job(where, arguments.id, arguments.summary, tell)


def _parser() -> config.Parser:
    parser = config.Parser(prog="trainers", description="commands of the service that belong to no job")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=config.Parser)
    ui = commands.add_parser("ui", help="the MLflow UI on the local store")
    ui.add_argument("--storage", type=Path, default=Path("runs"), help="as storage.path (default: runs)")
    ui.add_argument("--port", type=int, default=5000, help="on 127.0.0.1 (default: 5000)")
    replay = commands.add_parser("replay", help="send to MLflow what a run could not send")
    replay.add_argument("folder", type=Path, metavar="FOLDER", help="the run's folder, such as runs/training/RUN")
    replay.add_argument("--uri", help="MLflow tracking URI (default: the run's)")
    jobs = commands.add_parser("jobs", help="what runs on a cluster: list it, follow it, stop it")
    jobs.add_argument(
        "action",
        nargs="?",
        choices=("list", "follow", "stop"),
        default="list",
        help="list (the default); follow ID: its log from the beginning, and its exit code; stop ID: as Ctrl-C would",
    )
    jobs.add_argument("id", nargs="?", metavar="ID", help="of a job, as --on and list show it")
    add_cluster(jobs, CLUSTER)
    jobs.add_argument("--summary", type=Path, metavar="FILE", help="follow: write what came out as JSON")
    doctor = commands.add_parser("doctor", help="whether this machine, or a cluster, has what a job needs")
    doctor.add_argument("--storage", metavar="PATH", help="a folder or s3://bucket/prefix (default: as of a job)")
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    add_remote(doctor, "this machine")
    return parser
