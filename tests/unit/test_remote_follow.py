"""A job on a cluster is followed to its end, over broken connections; each trouble is one line. A played cluster."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from trainers.errors import RequestError, WorkError
from trainers.remote import client as remote_client
from trainers.remote import follow as remote_follow
from trainers.remote import jobs as remote
from trainers.remote.client import Client, Unreachable
from trainers.remote.jobs import JobLog, SubmittedJob, Target, Work

ID = "cats-train-1"
HEAD = (
    f"2026-01-01 00:00:00 INFO job_manager.py -- Runtime env is setting up.\nRunning entrypoint for job {ID}: python\n"
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nothing is waited for that does not come by itself."""
    monkeypatch.setattr(remote_follow, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(remote, "PAUSE_SECONDS", 0.0)


class Dashboard:
    """As much of a Ray dashboard as a client sees.

    Attributes:
        status: what a job's status is, each time that it is asked for; the last stays.
        pieces: what each connection to the log gets, before it is closed; None breaks it.
        troubles: answers of HTTP that come before the true ones.
    """

    def __init__(self, status: list[str], pieces: list[list[str | None]], troubles: list[int] | None = None) -> None:
        self.status, self.pieces, self.troubles = status, pieces, troubles or []
        self.message = "Job has not started yet."
        self.submitted: list[dict] = []
        self.refuses_jobs = 0
        self.packages: dict[str, bytes] = {}
        self.app = web.Application(middlewares=[self.trouble])
        self.app.add_routes(
            [
                web.get("/ray/api/version", self.version),
                web.post("/ray/api/jobs/", self.submit),
                web.get("/ray/api/jobs/", self.jobs),
                web.get("/ray/api/jobs/{id}", self.job),
                web.get("/ray/api/jobs/{id}/logs/tail", self.tail),
                web.get("/ray/api/packages/gcs/{name}", self.package),
                web.put("/ray/api/packages/gcs/{name}", self.package),
            ]
        )

    @web.middleware
    async def trouble(self, request: web.Request, handler: Callable[..., Awaitable[web.StreamResponse]]):
        if self.troubles:
            return web.Response(status=self.troubles.pop(0), headers={"Location": "https://there/"})
        return await handler(request)

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"ray_version": "2.60.0"})

    async def job(self, request: web.Request) -> web.Response:
        known = [ID, *(job["submission_id"] for job in self.submitted)]
        if request.match_info["id"] not in known or not self.status:
            return web.Response(status=404, text="does not exist")
        return web.json_response(self.details(request.match_info["id"]))

    async def jobs(self, request: web.Request) -> web.Response:
        return web.json_response([self.details(ID), {"type": "DRIVER", "job_id": "01000000"}])

    def details(self, job_id: str) -> dict:
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        known = {"type": "SUBMISSION", "submission_id": job_id, "status": status, "message": self.message}
        return known | {"driver_exit_code": 0, "start_time": 1000, "end_time": 3000, "entrypoint": "python"}

    async def tail(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for piece in self.pieces.pop(0):
            if piece is None:
                request.transport.abort()
                return socket
            await socket.send_str(piece)
        await socket.close()
        return socket

    async def submit(self, request: web.Request) -> web.Response:
        job = await request.json()
        if self.refuses_jobs:
            self.refuses_jobs -= 1
            return web.Response(status=500, text="Traceback (most recent call last):\n  …\nValueError: no agent")
        self.submitted.append(job)
        return web.json_response({"submission_id": job["submission_id"]})

    async def package(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if request.method == "PUT":
            self.packages[name] = await request.read()
        return web.Response(status=200 if name in self.packages else 404)


@contextlib.asynccontextmanager
async def client_of(dashboard: Dashboard, token: str | None = "token", scheme: str = "http") -> AsyncIterator[Client]:
    async with (
        TestServer(dashboard.app) as server,
        Client(Target(f"{scheme}://127.0.0.1:{server.port}/ray", token)) as client,
    ):
        yield client


def follow(dashboard: Dashboard) -> tuple[SubmittedJob, JobLog, str, list[str]]:
    """The job at its end, its log, what was written of it, and what was told besides."""
    written, told = [], []
    log = JobLog(ID, written.append)

    async def work() -> SubmittedJob:
        async with client_of(dashboard) as client:
            return await remote_follow.follow(client, ID, log, told.append)

    return asyncio.run(work()), log, "".join(written), told


def test_the_jobs_own_lines_are_written_and_nothing_else():
    job, log, written, told = follow(Dashboard(["RUNNING", "SUCCEEDED"], [[HEAD + "one\ntw", "o\n\nthr", "ee"]]))
    assert written == "one\ntwo\n\nthree"
    assert (job.status, job.seconds, log.summary, told) == ("SUCCEEDED", 2.0, None, [])


def test_the_summary_is_taken_out_of_the_log():
    _, log, written, _ = follow(
        Dashboard(["SUCCEEDED"], [[HEAD + "a\nsumma", 'ry {"status": "FINISHED"}\nsummary of it\n']])
    )
    assert written == "a\nsummary of it\n"
    assert json.loads(log.summary) == {"status": "FINISHED"}


@pytest.mark.parametrize("cut", [1, len(HEAD) - 3, len(HEAD) + 2, len(HEAD) + 4])
def test_a_broken_connection_costs_no_line_and_repeats_none(cut):
    text = HEAD + "one\ntwo\nthree\n"
    pieces = [[text[:cut], None], [text[:1], text[1 : cut + 2], None], [text[: cut + 1], text[cut + 1 :]]]
    _, _, written, _ = follow(Dashboard(["RUNNING"] * 3 + ["SUCCEEDED"], pieces))
    assert written == "one\ntwo\nthree\n"


def test_a_dashboard_that_is_away_for_a_while_is_waited_for_and_told_once():
    dashboard = Dashboard(["RUNNING", "SUCCEEDED"], [[HEAD + "one\n"]], troubles=[502, 503, 504])
    _, _, written, told = follow(dashboard)
    assert written == "one\n"
    assert len(told) == 2
    assert "trying again for 120 s" in told[0]
    assert told[1] == "connected again"


def test_a_dashboard_that_stays_away_is_given_up(monkeypatch):
    monkeypatch.setattr(remote_follow, "PATIENCE_SECONDS", 0)
    with pytest.raises(WorkError, match="given up after 0 s"):
        follow(Dashboard(["RUNNING"], [], troubles=[503] * 9))


def test_a_cluster_that_has_forgotten_the_job_is_told():
    with pytest.raises(WorkError, match=f"{ID}: .* does not know this job"):
        follow(Dashboard([], []))


def test_a_pending_job_says_once_what_it_waits_for(monkeypatch):
    monkeypatch.setattr(remote_follow, "PENDING_SECONDS", -1)
    _, _, _, told = follow(Dashboard(["PENDING"] * 3 + ["SUCCEEDED"], [[HEAD]]))
    assert told == ["pending: Job has not started yet."]


def test_a_log_that_went_away_with_its_machine_ends_the_following():
    job, _, written, told = follow(Dashboard(["FAILED"], [[HEAD + "one\n", None], [None], [None]]))
    assert (job.status, written) == ("FAILED", "one\n")
    assert told == ["the rest of its log cannot be read: the machine that has it does not answer"]


def exit_code(status: str, code: int | None, message: str = "") -> int:
    return remote._exit_code(SubmittedJob(ID, status, "python", message, 1.0, 2.0, code))


def test_the_exit_code_is_the_commands():
    assert [exit_code("SUCCEEDED", 0), exit_code("FAILED", 2), exit_code("FAILED", -9)] == [0, 2, 137]
    assert exit_code("STOPPED", None) == 130
    with pytest.raises(WorkError, match=f"^{ID}: RuntimeError: no such image$"):
        exit_code("FAILED", None, "Traceback (most recent call last):\n  File …\nRuntimeError: no such image\n")


def refusal(call: Callable[[Client], Awaitable[object]], dashboard: Dashboard, **options: str | None) -> RequestError:
    async def work() -> None:
        async with client_of(dashboard, **options) as client:
            await call(client)

    with pytest.raises(RequestError) as caught:
        asyncio.run(work())
    assert "\n" not in str(caught.value)
    return caught.value


ANSWERS = [(401, "refuses the token"), (403, "refuses the token"), (301, "sends on to https://there/; give that"),
           (404, "is no Ray dashboard"), (500, "HTTP 500")]  # fmt: skip


@pytest.mark.parametrize(("status", "told"), ANSWERS)
def test_each_answer_that_is_none_is_told_in_a_line(status, told):
    assert told in str(refusal(Client.version, Dashboard(["RUNNING"], [], troubles=[status])))


def test_without_a_token_it_is_told_where_to_give_one():
    told = refusal(Client.version, Dashboard([], [], troubles=[401]), token=None)
    assert "wants a token: --token FILE" in str(told)


def test_a_port_without_tls_is_told():
    told = refusal(Client.version, Dashboard([], []), scheme="https")
    assert str(told).endswith("does not speak TLS; is it http://?")


ELSEWHERE = [
    ("http://127.0.0.1:1", "nothing answers (connection refused)"),
    ("http://no.invalid", "there is no such host"),
]


@pytest.mark.parametrize(("url", "told"), ELSEWHERE)
def test_a_host_that_is_away_is_told_in_a_line(url, told, monkeypatch):
    def no_such_name(*_: object, **__: object) -> None:  # whatever the resolver of this network makes of it
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(Unreachable) as caught:
        remote.list_jobs(Target(url))
    assert told in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_told():
    error = ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED]")
    error.verify_message = "self-signed certificate"
    told = remote_client._explain_tls(error, "https://head")
    assert told.startswith("https://head: its certificate is not accepted: self-signed certificate; SSL_CERT_FILE")


def submit(dashboard: Dashboard) -> tuple[str, bool]:
    async def work() -> tuple[str, bool]:
        async with client_of(dashboard) as client:
            return await remote._submit(client, Work(ID, ["python", "a b.py"], {"A": "1"}, ("p.zip", b"zip")))

    return asyncio.run(work())


def test_a_job_is_submitted_with_its_package_and_environment():
    dashboard = Dashboard([], [])
    assert submit(dashboard) == (ID, True)
    (job,) = dashboard.submitted
    assert dashboard.packages == {"p.zip": b"zip"}
    assert job["entrypoint"] == "python 'a b.py'"
    assert job["runtime_env"]["working_dir"] == "gcs://p.zip"
    # Time to end the run in MLflow before Ray kills what it was asked to stop.
    assert job["runtime_env"]["env_vars"] == {"A": "1", "RAY_JOB_STOP_WAIT_TIME_S": "60"}


def test_a_job_that_runs_already_is_not_started_again():
    dashboard = Dashboard(["RUNNING"], [])
    assert submit(dashboard) == (ID, False)
    assert dashboard.submitted == []


def test_after_a_job_that_has_ended_the_next_has_a_number():
    assert submit(Dashboard(["FAILED"], [])) == (f"{ID}-2", True)


def test_a_submission_that_fails_is_tried_again_and_then_told():
    dashboard = Dashboard([], [])
    dashboard.refuses_jobs = 2
    assert submit(dashboard) == (ID, True)
    dashboard = Dashboard([], [])
    dashboard.refuses_jobs = 3
    with pytest.raises(RequestError, match="HTTP 500: ValueError: no agent"):
        submit(dashboard)


def test_an_unknown_id_is_told_with_those_that_are_near():
    told = str(refusal(lambda client: remote._find(client, "cats-train"), Dashboard(["RUNNING"], [])))
    assert f"did you mean {ID}?" in told
