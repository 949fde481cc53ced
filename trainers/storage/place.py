"""Where `storage.path` is, for this machine, and whether it can be used."""

import os
import secrets
from pathlib import Path

from trainers.errors import RequestError
from trainers.experiment import Storage

S3 = "s3://"
CACHE = "~/.cache/trainers"


def on_s3(options: Storage) -> bool:
    """Whether what lasts is kept on S3."""
    return options.path.startswith(S3)


def local_folder(options: Storage) -> Path:
    """The absolute folder in which this machine works, made if it is not there: `storage.path`, or the cache of S3.

    A job that was submitted to Ray runs in a copy of the submitted folder that Ray deletes, so there a relative path
    is taken from the home folder.

    Raises RequestError: nothing can be written there.
    """
    option, given = ("storage.cache", options.cache or CACHE) if on_s3(options) else ("storage.path", options.path)
    path = Path(given).expanduser()
    if not path.is_absolute():
        path = (Path.home() / "trainers" if submitted() else Path.cwd()) / path
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RequestError(f"{option}: {path} cannot be written ({error.strerror})") from None
    return path.resolve()


def submitted() -> bool:
    """Whether this process is a job that was submitted to Ray."""
    return "RAY_JOB_SUBMISSION_ID" in os.environ or "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def check_storage(options: Storage) -> Path:
    """Writes, reads and removes a small probe at `storage.path`; returns the folder of `local_folder`.

    Raises RequestError: in one line, why that cannot be done: keys, bucket, rights, clock, a host that is away or busy.
    """
    folder = local_folder(options)
    if on_s3(options):
        from trainers.storage.s3 import probe

        probe(options.path)
    return folder
