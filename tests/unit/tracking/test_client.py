"""What connecting promises: a store that cannot serve us is told at once, with what to do and without passwords."""

import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.errors import RequestError
from trainers.tracking import serve_ui
from trainers.tracking.client import connect, one_line, quiet, shown, tracking_uri


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path begins with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.split("/")[1]))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield f"http://someone:secret@127.0.0.1:{answering.server_port}"
        answering.shutdown()


def complaint(uri: str) -> str:
    with pytest.raises(RequestError) as caught:
        connect(uri, wait_s=60.0)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_uri_is_the_option_else_the_environment_else_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    assert tracking_uri("http://here:5000", Path("runs")) == "http://here:5000"
    assert tracking_uri(None, Path("runs")) == "http://there:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(None, Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_a_server_that_is_away_is_named_with_what_to_do() -> None:
    message = complaint("http://someone:secret@127.0.0.1:1")
    assert "http://127.0.0.1:1 does not answer (Connection refused); start the server" in message


def test_a_server_that_wants_a_login_says_which_variables_to_set(server: str) -> None:
    assert "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in complaint(f"{server}/401")


def test_a_server_that_refuses_the_host_name_says_what_to_set(server: str) -> None:
    assert "MLFLOW_SERVER_ALLOWED_HOSTS" in complaint(f"{server}/403")


@pytest.mark.parametrize("status", [200, 404, 500])
def test_something_else_than_mlflow_is_told(server: str, status: int) -> None:
    assert f"answers {status}, not as an MLflow server does" in complaint(f"{server}/{status}")


@pytest.mark.parametrize("uri", ["runs/mlruns", "file:///tmp/mlruns", "ftp://someone:secret@there"])
def test_a_store_that_mlflow_no_longer_has_is_told(uri: str) -> None:
    assert "tracking.uri: MLflow 3 keeps no runs in" in complaint(uri)


def test_a_database_that_is_away_is_told_without_its_password() -> None:
    assert "no database answers at postgresql://127.0.0.1:1/x" in complaint("postgresql://someone:secret@127.0.0.1:1/x")


def test_a_file_that_is_no_database_is_told_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are my notes")
    assert f"{file} is not an SQLite database" in complaint(f"sqlite:///{file}")
    assert file.read_text() == "these are my notes"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in complaint(f"sqlite:///{tmp_path}/file/mlflow.db")


def test_passwords_never_show() -> None:
    assert shown("postgresql://me:secret@db:5432/mlflow") == "postgresql://db:5432/mlflow"
    assert shown("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
    assert one_line("failed for http://me:secret@there/x now\nmore") == "failed for http://there/x now"


def test_mlflow_speaks_only_when_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    quiet(logging.INFO)
    assert logging.getLogger("mlflow").level == logging.getLogger("alembic").level == logging.INFO
    quiet()
    assert logging.getLogger("mlflow").level == logging.getLogger("alembic").level == logging.ERROR


def test_the_ui_of_an_empty_storage_says_to_train_first(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nothing is recorded in .* yet; train first"):
        serve_ui(tmp_path, 5000)
