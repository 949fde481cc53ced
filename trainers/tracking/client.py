"""The way to MLflow: which store, whether it answers, and what to do where it does not."""

import logging
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.storage import on_s3, submitted

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = "mlflow.db"  # the SQLite file of a folder

_SERVERS = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_PROBE = "/api/2.0/mlflow/experiments/search?max_results=1"
_LOGIN = re.compile(r"(?<=://)[^/\s]+@")
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's default of 7 retries with doubling waits blocks a call for minutes; the journal retries better.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


def tracking_uri(uri: str | None, storage: Path) -> str:
    """The tracking URI: as given, else MLFLOW_TRACKING_URI, else SQLite in `storage`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(storage / DATABASE)


def check_lasting(experiment: Experiment) -> None:
    """That what is recorded outlasts this machine, if it is one of a cluster's.

    Raises RequestError: it would be lost with a container.
    """
    named = experiment.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not named and submitted() and on_s3(experiment.storage):
        raise RequestError(
            "tracking.uri: is unset, and SQLite on this node of the cluster would be lost with it; set it, or "
            "MLFLOW_TRACKING_URI, to http://HOST:PORT of a server"
        )


def run_name(uri: str, run_id: str) -> str | None:
    """The name of an MLflow run, by its id; None if there is no such run.

    Raises RequestError: as `connect`.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        name: str | None = client.get_run(run_id).info.run_name
    except MlflowException:
        return None
    return name


def quiet(level: int = logging.ERROR) -> None:
    """Lets MLflow and its libraries log from `level` on; to be called before or after they are imported."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_LOGGING_LEVEL"] = logging.getLevelName(level)
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(level)


def _hush() -> None:
    """To be called before MLflow is imported, which sets a level itself; one that was set is kept."""
    if not logging.getLogger("mlflow").level:
        quiet()


def connect(uri: str, wait_s: float = 5.0) -> "MlflowClient":
    """A client of the store at `uri`, which has just answered; thread-safe, without MLflow's global state.

    Raises RequestError: the store is away (told within `wait_s` seconds), refuses us, or has an old schema.
    """
    _hush()
    check(uri, wait_s)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        with _alone(uri):
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            client.search_experiments(max_results=1)
    except MlflowException as error:
        raise RequestError(_explain(uri, str(error))) from None
    except ModuleNotFoundError as error:
        raise RequestError(f"tracking: {shown(uri)} needs the Python package {error.name}; pip install it") from None
    return client


def check(uri: str, wait_s: float = 5.0) -> None:
    """Checks that the store at `uri` would serve us; cheap for a SQLite file, for which mlflow is not imported.

    Raises RequestError: the store is away (told within `wait_s` seconds), refuses us, or cannot be written.
    """
    _check_scheme(uri)
    if complaint := away(uri, wait_s):
        raise RequestError(complaint)


def away(uri: str, wait_s: float = 5.0) -> str | None:
    """Why the store at `uri` would not serve us, found out within about `wait_s` seconds; None if it would."""
    parts = urlsplit(uri)
    if parts.scheme in _SERVERS:
        return _ask(uri, wait_s)
    if uri.startswith("sqlite"):
        return _look(uri)
    if not parts.hostname:
        return None
    try:
        # MLflow would try for minutes to reach a database that is not there.
        default = 5432 if parts.scheme.startswith("postgresql") else 3306
        socket.create_connection((parts.hostname, parts.port or default), timeout=wait_s).close()
    except OSError as error:
        return f"tracking: no database answers at {shown(uri)} ({error}); start it or give another tracking.uri"
    return None


def shown(text: str) -> str:
    """A URI, or a text with URIs, without users and passwords: fit to be printed and stored."""
    return _LOGIN.sub("", text)


def sqlite_uri(file: Path) -> str:
    """The URI of a SQLite file."""
    return f"sqlite:///{file.absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of a SQLite URI, else None."""
    if not uri.startswith("sqlite"):
        return None
    return Path(uri.partition(":///")[2].partition("?")[0]).absolute()


def one_line(error: BaseException | str) -> str:
    """The first line of an error's message, without passwords in URIs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shown(lines[0])[:300] if lines else type(error).__name__


def _check_scheme(uri: str) -> None:
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme not in (*_SERVERS, *_DATABASES, "databricks"):
        raise RequestError(
            f"tracking.uri: MLflow 3 keeps no runs in {shown(uri)}; give http://HOST:PORT of a server, "
            "sqlite:///FILE or a database URI"
        )


def _ask(uri: str, wait_s: float) -> str | None:
    _hush()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    # MLflow's own request, so that logins and certificates are those of every other call. They are inner parts: the
    # public client tries again for minutes, unless the environment says otherwise for all calls.
    request: Any = http_request
    credentials: Any = get_default_host_creds
    try:
        answer = request(credentials(uri), _PROBE, "GET", max_retries=0, timeout=wait_s, raise_on_status=False)
    except MlflowException as error:
        cause = str(error.__cause__ or error.__context__ or error)
        return (
            f"tracking: {shown(uri)} does not answer ({_short(cause)}); start the server or give another tracking.uri"
        )
    code = answer.status_code
    if code == 401:
        return (
            f"tracking: {shown(uri)} wants a login (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
            "to an account it knows"
        )
    if code == 403:
        return (
            f"tracking: {shown(uri)} refuses us (403); set MLFLOW_SERVER_ALLOWED_HOSTS on the server to the host name "
            "in this URI, or MLFLOW_TRACKING_USERNAME/PASSWORD here to an account that may"
        )
    if code >= 400 or "json" not in answer.headers.get("content-type", ""):
        return f"tracking: {shown(uri)} answers {code}, not as an MLflow server does; check the URI or the server's log"
    return None


def _look(uri: str) -> str | None:
    """Why a SQLite file would not open; MLflow itself would retry for minutes."""
    file = sqlite_file(uri)
    assert file is not None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Opened for appending, because that is what needs the right to write; nothing is written.
        with file.open("ab"):
            pass
        with file.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        return f"tracking: {file} cannot be written ({error.strerror}); give another storage.path or tracking.uri"
    if head and not head.startswith(b"SQLite format 3\0"):
        return f"tracking: {file} is not an SQLite database; move it away or give another tracking.uri"
    return None


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One process at a time where a SQLite store may have to be created: MLflow's own creation bears no company."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    with FileLock(f"{file}.lock"):
        if file.stat().st_size == 0:
            _create(file)
        yield


def _create(file: Path) -> None:
    """A new SQLite store, made aside without a disk sync after each of its hundreds of steps: 1 s instead of 6."""
    from mlflow import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def hasten(connection: object, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA synchronous = OFF")

    aside = file.with_name(f"{file.name}.new")
    aside.unlink(missing_ok=True)
    event.listen(Engine, "connect", hasten)
    try:
        MlflowClient(tracking_uri=sqlite_uri(aside)).search_experiments(max_results=1)
    finally:
        event.remove(Engine, "connect", hasten)
    with aside.open("rb") as stream:
        os.fsync(stream.fileno())
    aside.replace(file)


def _explain(uri: str, message: str) -> str:
    if "out-of-date database schema" in message:
        return (
            f"tracking: the database {shown(uri)} was made by another MLflow version; back it up, then run "
            f"`mlflow db upgrade {shown(uri)}`"
        )
    return f"tracking: {shown(uri)} does not serve us: {one_line(message)}"


def _short(cause: str) -> str:
    for known in (
        "Connection refused",
        "timed out",
        "Name or service not known",
        "Temporary failure in name resolution",
    ):
        if known in cause:
            return known
    return one_line(cause)[:120]
