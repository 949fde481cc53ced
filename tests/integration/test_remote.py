"""`--on` and `trainers jobs` against a real Ray head that wants a token."""

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ports import kept
from recording import run_of
from running import Running, clean_environment, ray_cluster, summary_of

from trainers.remote import jobs as remote

TOKEN = "the-token-of-the-test-cluster"
TRAINERS = Path(sys.executable).with_name("trainers")
# On the cluster it does what the test says, here what every job does.
JOB = """import os, pathlib, time
from trainers.cli import main
if "TRAINERS_SENT_BY" in os.environ:
    import helpers
    helpers.work()
main(__file__)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    path = f"{TRAINERS.parent}{os.pathsep}{os.environ['PATH']}"  # `python` there is that of this test, as in the image
    with ray_cluster(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, PATH=path) as (dashboard, _, _):
        yield dashboard


@pytest.fixture
def send(start, tmp_path, url) -> Callable[..., Running]:
    """Sends a job from a folder of its own, in which nothing else lies."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "odd.py").write_text(JOB)
    (folder / "odd.yaml").write_text("name: odd\ndata: {source: spiral}\nmodel: {name: mlp, hidden: [8]}\n")

    def send_job(
        *arguments: object, work: str = "pass", on: str = url, token: str = TOKEN, **environment: str
    ) -> Running:
        (folder / "helpers.py").write_text(f"import os, pathlib, time\ndef work():\n    {work}\n")
        flags = ("--on", on, "--storage.path", tmp_path / "store")
        return start(*arguments, *flags, job=folder / "odd.py", RAY_AUTH_TOKEN=token, HOME=str(tmp_path), **environment)

    return send_job


@pytest.fixture
def jobs(url) -> Callable[..., subprocess.CompletedProcess]:
    def call(*arguments: object) -> subprocess.CompletedProcess:
        command = [TRAINERS, "jobs", *map(str, arguments), "--on", url]
        environment = clean_environment() | {"RAY_AUTH_TOKEN": TOKEN}
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return call


@pytest.fixture
def proxy(url) -> Iterator["Proxy"]:
    """A way to the dashboard that can be cut."""
    with kept() as (port,):
        made = Proxy(url, port)
        yield made
        made.cut()


def test_a_job_trains_on_the_cluster_and_its_summary_comes_back(send, tmp_path):
    job = send("--training.epochs", 1, "--scale.workers", 0, "--summary", tmp_path / "summary.json")
    assert job.wait() == 0, job.output
    assert "sent        jobs/odd.py, jobs/odd.yaml and 1 module beside them" in job.output
    assert re.search(r"^epoch 1/1 .*", job.output, re.MULTILINE)
    assert "\nsummary " not in job.output
    assert "Running entrypoint" not in job.output
    summary = summary_of(tmp_path / "summary.json")
    assert (summary["status"], summary["model"]["version"]) == ("FINISHED", "1")
    assert Path(summary["checkpoint"]).is_relative_to(tmp_path / "store")


@pytest.mark.parametrize("code", [1, 2])
def test_the_exit_code_is_that_of_the_job(send, code):
    job = send("plan", work=f"print('as told'); raise SystemExit({code})")
    assert job.wait() == code
    assert job.output.endswith("as told\n")


def test_what_is_wrong_with_the_token_is_one_line(send):
    for token, told in (("", "wants a token"), ("wrong", "refuses the token")):
        job = send("plan", token=token)
        assert job.wait() == 2
        (line,) = job.output.splitlines()
        assert told in line
        assert TOKEN not in line


def test_a_mistake_is_told_before_anything_is_sent(send):
    job = send("plan", "--model.weights", "mine.safetensors", on="http://127.0.0.1:1")
    assert job.wait() == 2
    assert job.output.startswith("error: model.weights: mine.safetensors is a path of this machine")


def test_a_job_outlives_ctrl_c_is_found_again_and_ends_its_run_when_it_is_stopped(send, jobs, tmp_path):
    command = ("--training.epochs", 100_000, "--scale.workers", 1, "--scale.cpus-per-worker", 1)
    first = send(*command)
    first.read_until(" 2/100000")
    first.process.send_signal(signal.SIGINT)
    assert first.wait() == 130
    way_back = re.search(r"follow it again: trainers jobs follow (\S+) --on \S+$", first.output, re.MULTILINE)
    job_id = way_back[1]

    second = send(*command)
    second.read_until(f"{job_id} runs already")
    second.read_until(" 1/100000")  # the log from its beginning
    listed = next(line for line in jobs("list").stdout.splitlines() if job_id in line)
    assert "RUNNING" in listed

    stopped = jobs("stop", job_id)
    assert (stopped.returncode, stopped.stderr) == (0, f"{job_id}: STOPPED\n")
    assert second.wait() == 130
    summary = tmp_path / "summary.json"
    followed = jobs("follow", job_id, "--summary", summary)
    assert followed.returncode == 130, followed.stderr
    assert summary_of(summary)["status"] == "KILLED"
    run = run_of(f"sqlite:///{tmp_path}/store/mlflow.db", summary_of(summary)["run_id"])
    assert run.info.status == "KILLED"


def test_an_unknown_job_is_told_with_one_that_is_near(send, jobs):
    send("plan", work="raise SystemExit(0)").wait()
    told = jobs("stop", "odd-plan-12345678")
    assert told.returncode == 2
    assert re.match(r"error: odd-plan-12345678: no such job at \S+; did you mean odd-plan-\w{8}", told.stderr)


def test_the_log_goes_on_where_the_connection_broke(send, proxy, tmp_path):
    go = tmp_path / "go"
    work = (
        "print('one', 'two', sep=chr(10), flush=True)\n"
        "    while not pathlib.Path(os.environ['GO']).exists(): time.sleep(0.1)\n"
        "    print('three'); raise SystemExit(5)"
    )
    job = send("plan", "--pass-env", "GO", work=work, on=proxy.url, GO=str(go))
    job.read_until("two")
    proxy.cut()
    job.read_until("trying again for 120 s")
    go.touch()
    proxy.mend()
    assert job.wait() == 5
    own = [line for line in job.output.split() if line in ("one", "two", "three")]
    assert own == ["one", "two", "three"]
    assert "connected again" in job.output
    assert "can read GO" in job.output


def test_a_command_of_the_image_runs_without_a_package(url):
    code = "import os; print(os.environ['WORD']); raise SystemExit(4)"
    target = remote.Target(url, TOKEN, "a test")
    assert remote.run_there(target, ["python", "-c", code], {"WORD": "there"}) == (4, "there\n")


class Proxy:
    """A TCP proxy before a dashboard, on a port that is kept for it, that can be cut.

    Args:
        url: of the dashboard.
    """

    def __init__(self, url: str, port: int) -> None:
        host, _, there = url.removeprefix("http://").partition(":")
        self._target, self._address = (host, int(there)), ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"
        self._open: list[socket.socket] = []
        self.mend()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # cut
            while True:
                client, _ = self._listener.accept()
                pair = (client, socket.create_connection(self._target))
                self._open += pair
                threading.Thread(target=_pump, args=pair, daemon=True).start()

    def cut(self) -> None:
        """Breaks all connections, and refuses new ones."""
        _close(self._listener)
        self._serving.join()
        for one in self._open:
            _close(one)
        self._open.clear()

    def mend(self) -> None:
        """Takes connections, again on the same port."""
        self._listener = socket.create_server(self._address)
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()


def _close(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _pump(client: socket.socket, server: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, server)
        ready.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)
                if not data:
                    raise OSError
                key.data.sendall(data)
