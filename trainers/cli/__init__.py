"""The command lines: of a job, `python jobs/NAME.py …`, and of the service, `trainers …`."""

from trainers.cli.commands import service
from trainers.cli.job import VERBS, main, run

__all__ = ["VERBS", "main", "run", "service"]
