"""The console script `trainers`: commands of the service that belong to no job."""

from collections.abc import Sequence

from trainers import config
from trainers.cli import doctor, jobs, replay, ui
from trainers.cli.shared import guard
from trainers.display import Display


def service(argv: Sequence[str] | None = None) -> int:
    """Runs a command line of `trainers` and returns its exit code.

    Args:
        argv: without the program's name; None: of this process.
    """

    def run() -> int:
        arguments = _parser().parse_args(argv)
        Display()
        code: int = arguments.run(arguments)
        return code

    return guard(run)


def _parser() -> config.Parser:
    parser = config.Parser(prog="trainers", description="commands of the service that belong to no job")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=config.Parser)
    for name, command in {"ui": ui, "replay": replay, "jobs": jobs, "doctor": doctor}.items():
        one = commands.add_parser(name, help=command.ABOUT)
        command.add_flags(one)
        one.set_defaults(run=command.run)
    return parser
