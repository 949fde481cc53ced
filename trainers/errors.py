"""The exceptions that a person is meant to read.

TrainersError                 anything the command line prints as one line, without a traceback
├── RequestError   exit 2     the request was wrong: an option, a path, a name; change it and call again
└── WorkError      exit 1     the request was right but the work failed: a worker died, a file went away
    └── Interrupted exit 130  stopped by Ctrl-C or SIGTERM, as shells count it (128 + SIGINT)

Everything else that is raised is a defect of this library and keeps its traceback.
"""


class TrainersError(Exception):
    """Base of the errors that are shown as their message alone.

    The message says what is wrong, where (file, key, host), and what to do about it.
    """

    exit_code = 1


class RequestError(TrainersError):
    """The request cannot be done as it stands; nothing was started."""

    exit_code = 2


class WorkError(TrainersError):
    """The work was started and failed."""


class Interrupted(WorkError):
    """A person or the system asked the run to stop."""

    exit_code = 130
