"""The doctor names what is wrong and how to mend it, and what is right as well."""

import json
import socket
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from ports import kept

from trainers import config
from trainers.cluster import Answer
from trainers.doctor import checks as look
from trainers.doctor import report as verb
from trainers.doctor.checks import GIB, Finding
from trainers.doctor.report import compared, doctor, table
from trainers.errors import RequestError, WorkError

NOW = 1_800_000_000
OURS = [
    Finding("Python", "3.11.2"),
    Finding("Ray", "2.60.0"),
    Finding("trainers", "0.1.0"),
    Finding("clock", "as that of it"),
]


def call(storage, **arguments) -> int:
    return doctor(str(storage), **{"as_json": False, "on": None, "token": None, "pass_env": ()} | arguments)


def experiment(storage, **tracking):
    return config.load(None, {"storage": {"path": str(storage)}, "tracking": tracking})


@pytest.mark.parametrize(
    ("size", "found", "problem"),
    [(64 * 2**20, "64 MiB", "too small for several workers"), (GIB // 2, "512 MiB", ""), (3 * GIB, "3.0 GiB", "")],
)
def test_shared_memory_as_docker_has_it_is_too_small(size, found, problem):
    (row,) = look.shared_memory(size)
    assert (row.found, row.problem) == (found, problem)
    assert ("--shm-size" in row.fix) == bool(problem)
    assert list(look.shared_memory(None)) == []  # macOS has none


def test_a_full_disk_is_a_problem(tmp_path):
    assert look.disk(tmp_path, 50 * GIB) == Finding("disk", f"50 GiB free in {tmp_path}")
    assert look.disk(tmp_path, GIB).problem == "less than 5 GiB for packs"


def test_memory_is_what_a_container_allows(monkeypatch):
    monkeypatch.setattr("trainers.engine.limits.memory_of", lambda device: GIB // 2)
    row = look.memory()
    assert (row.found, row.problem) == ("0.5 of 0.5 GiB free", "too little to start a worker")


@pytest.mark.parametrize(
    ("driver", "visible", "cuda", "found", "problem", "fix"),
    [
        ((0, ""), None, "13.2", "none", "", ""),
        ((2, "570.1"), None, "13.2", "2, driver 570.1", "PyTorch cannot use them", "install a driver for CUDA 13.2"),
        ((2, "570.1"), None, None, "2, driver 570.1", "PyTorch cannot use them", "install the PyTorch with CUDA"),
        ((2, "570.1"), "", "13.2", "2, driver 570.1, hidden from this process", "", ""),
    ],
)
def test_gpus_that_pytorch_cannot_use_are_a_problem_and_none_are_not(
    monkeypatch, driver, visible, cuda, found, problem, fix
):
    monkeypatch.setattr(look, "_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    row = look.gpus()
    assert (row.found, row.problem) == (found, problem)
    assert row.fix.startswith(fix)


def test_a_package_that_is_missing_is_named(monkeypatch):
    def version(package: str) -> str:
        if package == "mlflow":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(look, "version", version)
    assert [row.name for row in look.versions() if row.problem] == ["MLflow"]


@pytest.mark.parametrize(
    ("skews", "found", "problem"),
    [
        ({"http://a": 0.4, "http://b": -59.0, "http://away": None}, "as that of http://a, http://b", False),
        ({"http://a": 0.4, "http://b": -120.0}, "120 s ahead of http://b", True),
        ({"http://a": 900.0}, "900 s behind http://a", True),
    ],
)
def test_a_clock_that_is_a_minute_off_is_a_problem(skews, found, problem):
    row = look.clock(skews)
    assert (row.found, bool(row.problem)) == (found, problem)


def test_a_clock_without_anybody_to_ask_is_only_shown():
    assert not look.clock({"http://away": None}).problem


@pytest.fixture
def clock(monkeypatch):
    """Stands still, and nothing takes too long."""
    ask = look.urlopen
    monkeypatch.setattr(look, "urlopen", lambda request, timeout: ask(request))
    monkeypatch.setattr(look, "time", SimpleNamespace(time=lambda: NOW))


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("status", [200, 401, 404])
def test_the_time_of_a_server_is_read_whatever_it_answers(status):
    class Late(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(NOW - 300, usegmt=True))
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Late) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert look.ahead(f"http://127.0.0.1:{server.server_port}/x") == pytest.approx(-300, abs=0.5)
        server.shutdown()


def test_a_server_that_is_away_has_no_time():
    with kept() as (port,):
        assert look.ahead(f"http://127.0.0.1:{port}/x") is None


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nDate: noon\r\nContent-Length: 0\r\n\r\n"]
)
def test_a_server_that_says_no_time_is_left_out(answer):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(1024)
                caller.sendall(answer)

        thread = Thread(target=speak, daemon=True)
        thread.start()
        assert look.ahead(f"http://127.0.0.1:{server.getsockname()[1]}") is None
        thread.join()


@pytest.mark.parametrize("url", ["http://a b", "http://a:b", "store:7070", "http://"])
def test_what_is_no_url_has_no_time(url):
    assert look.ahead(url) is None


def test_storage_is_written_and_read(tmp_path):
    row = look.storage(experiment(tmp_path / "runs").storage)
    assert row.found.startswith(f"{tmp_path}/runs, written and read in ")
    (tmp_path / "file").write_text("")
    row = look.storage(experiment(tmp_path / "file").storage)
    assert row.problem == f"storage.path: {tmp_path}/file cannot be written (File exists)"


def test_a_store_of_mlflow_is_looked_at_and_not_made(tmp_path):
    row = look.tracking(experiment(tmp_path))
    assert row.found == f"sqlite:///{tmp_path}/mlflow.db, which the first run makes"
    assert list(tmp_path.iterdir()) == []


def test_an_mlflow_that_is_away_is_a_problem_and_its_password_is_not_shown(tmp_path):
    row = look.tracking(experiment(tmp_path, uri="http://me:secret@127.0.0.1:9"))
    assert row.problem == "tracking: http://127.0.0.1:9 does not answer (Connection refused)"
    assert row.fix.startswith("start the server or give another tracking.uri")
    assert "secret" not in repr(row)


def test_only_servers_that_a_job_would_talk_to_are_asked_for_the_time(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:7070")
    assert look.servers(experiment(tmp_path)) == []
    assert look.servers(experiment("s3://b/p", uri="http://me:secret@m:5000")) == ["http://m:5000", "http://store:7070"]


@pytest.mark.parametrize(
    ("name", "theirs", "problem"),
    [
        ("Python", "3.11.9", ""),
        ("Python", "3.12.2", "not 3.11.2, as here"),
        ("Ray", "2.60.7", ""),
        ("Ray", "2.61.0", "not 2.60.0, as here"),
        ("trainers", "0.1.1", "not 0.1.0, as here"),
        ("PyTorch", "2.9.0", ""),
    ],
)
def test_versions_must_agree_as_far_as_it_matters(name, theirs, problem):
    (row,) = compared(OURS, [Finding(name, theirs)])
    assert row.problem == problem


def test_the_table_shows_problems_below_their_rows():
    rows = [Finding("Ray", "2.60.0"), Finding("storage", "runs", "storage.path: cannot be written", "give another")]
    assert table(rows, None) == [
        "ok       Ray      2.60.0",
        "problem  storage  runs",
        "                  storage.path: cannot be written",
        "                  fix: give another",
    ]


def test_the_table_of_two_machines_has_two_columns():
    theirs = [Finding("Ray", "2.61.0", "not 2.60.0, as here", "install it"), Finding("token", "Ray asks for it")]
    assert table([Finding("Ray", "2.60.0")], theirs) == [
        "                here    there",
        "problem  Ray    2.60.0  2.61.0",
        "                        there: not 2.60.0, as here",
        "                        fix: install it",
        "ok       token          Ray asks for it",
    ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("10.0.0.3", ""), Finding("node 10.0.0.3", "")),
        (Answer("10.0.0.3", "", [Finding("GPUs", "none")]), Finding("node 10.0.0.3", "GPUs none")),
        (
            Answer("10.0.0.3", "torch: has 1; use the same", [Finding("GPUs", "none")]),
            Finding("node 10.0.0.3", "GPUs none", "torch: has 1", "use the same"),
        ),
        (
            Answer("10.0.0.3", "", [Finding("/dev/shm", "64 MiB", "too small", "--shm-size")]),
            Finding("node 10.0.0.3", "/dev/shm 64 MiB", "too small", "--shm-size"),
        ),
    ],
)
def test_a_node_has_a_row(answer, expected):
    assert verb._node(answer) == expected


def test_nothing_wrong_is_exit_code_0_and_a_json_object(tmp_path, capsys, monkeypatch):
    for least in ("LEAST_SHM", "LEAST_DISK", "LEAST_MEMORY"):  # this machine may have little
        monkeypatch.setattr(look, least, 0)
    monkeypatch.setattr(look, "_driver", lambda: (0, ""))
    assert call(tmp_path, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    names = [row["name"] for row in told["here"]]
    assert names[:6] == ["Python", "trainers", "Ray", "PyTorch", "torchvision", "MLflow"]
    assert {"memory", "GPUs", "disk", "storage", "tracking", "clock"} <= set(names)


def test_a_problem_is_exit_code_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert call(tmp_path / "file") == 1
    assert "problem  storage" in capsys.readouterr().out


def test_a_misspelt_option_in_the_environment_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINERS__STORAGE__PAHT", "runs")
    with pytest.raises(RequestError, match="TRAINERS__STORAGE__PAHT"):
        call(tmp_path)


@pytest.fixture
def there(monkeypatch):
    """Lets the doctor of a cluster say something, and notes what it was asked."""

    def say(code: int, output: str) -> list:
        asked = []

        def run_there(target, argv, env):
            asked.append((target.url, argv, dict(env)))
            return code, output

        monkeypatch.setattr(verb, "run_there", run_there)
        return asked

    return say


def test_a_cluster_is_asked_and_compared(there, capsys, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    rows = [{"name": "Ray", "found": "1.0.0", "problem": "", "fix": ""}]
    asked = there(0, f"a warning\n{json.dumps({'ok': True, 'here': rows})}\n")
    assert call("s3://b/p", on="http://127.0.0.1:9", pass_env=["SECRET"]) == 1
    assert asked == [("http://127.0.0.1:9", ["trainers", "doctor", "--json", "--storage", "s3://b/p"], {"SECRET": "1"})]
    assert "there: not 2." in capsys.readouterr().out


def test_a_cluster_is_asked_for_nothing_before_its_url_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(look, "ahead", lambda url: pytest.fail(f"asks {url}"))
    with pytest.raises(RequestError, match="--on: h is no URL of a Ray dashboard"):
        call(tmp_path, on="ftp://me@h")


@pytest.mark.parametrize("output", ["", "\n", "trainers: not found", '{"ok": true}', "[]"])
def test_a_cluster_whose_doctor_fails_is_told_in_a_line(there, output, tmp_path):
    there(127, output)
    with pytest.raises(WorkError, match=r"`trainers doctor` failed there with exit code 127: "):
        call(tmp_path, on="http://127.0.0.1:9")
