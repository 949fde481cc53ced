"""The command lines: of a job, `python jobs/NAME.py …`, and of the service, `trainers …`."""

from trainers.cli.job import VERBS, main, run
from trainers.cli.service import service
