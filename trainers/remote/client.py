"""The Jobs API of a Ray dashboard (docs.ray.io, "Ray Jobs REST API"), each failure told in a line.

Ray's own client is not used: it lets RAY_ADDRESS win over the address that it is given, waits for ever for a host that
is away, and takes seconds to import.
"""

import json
import os
import time
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from trainers.errors import RequestError
from trainers.remote.target import Target

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
QUIET_SECONDS = 60  # after so long without a line a log is asked for anew: its connection may be dead without a sign
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Unreachable(RequestError):
    """The dashboard gives no answer; it may be back later."""


@dataclass(frozen=True)
class SubmittedJob:
    """A submitted job.

    Attributes:
        id: its submission id.
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        entrypoint: its command line.
        message: what Ray says of its status.
        started, ended: seconds since the epoch; None for what has not happened.
        exit_code: of its command; None where that did not run or was stopped.
    """

    id: str
    status: str
    entrypoint: str
    message: str
    started: float | None
    ended: float | None
    exit_code: int | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def seconds(self) -> float | None:
        """How long it has run."""
        return None if self.started is None else (self.ended or time.time()) - self.started


class Client:
    """A connection to a dashboard, to be entered by `async with`.

    All methods raise RequestError where the dashboard refuses, and of that Unreachable where it gives no answer.
    """

    def __init__(self, target: Target) -> None:
        self.target = target

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self.target.token}"} if self.target.token else {}
        address = urlsplit(self.target.url)
        # Not aiohttp's trust_env: it would also take a name and password from ~/.netrc in the place of the token.
        bypass = urllib.request.proxy_bypass(address.hostname or "")
        proxy = None if bypass else urllib.request.getproxies().get(address.scheme)
        self._session = aiohttp.ClientSession(headers=headers, timeout=TIMEOUT, proxy=proxy)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._session.close()

    async def version(self) -> str:
        """Ray's version there; raises RequestError: there is something else than a Ray dashboard."""
        _, text = await self._ask("GET", "/api/version")
        try:
            return str(json.loads(text)["ray_version"])
        except (ValueError, KeyError, TypeError):
            raise RequestError(f"{self.target.url} answers, but is no Ray dashboard; that is on port 8265") from None

    async def job(self, job_id: str) -> SubmittedJob | None:
        """A job; None where the cluster does not know it."""
        status, text = await self._ask("GET", f"/api/jobs/{quote(job_id)}")
        return None if status == 404 else _read_job(json.loads(text))

    async def jobs(self) -> list[SubmittedJob]:
        """All submitted jobs that the cluster knows, the oldest first."""
        _, text = await self._ask("GET", "/api/jobs/")
        found = [_read_job(one) for one in json.loads(text) if one["type"] == "SUBMISSION"]
        return sorted(found, key=lambda job: job.started or 0.0)

    async def submit(self, job_id: str, entrypoint: str, runtime_env: Mapping[str, Any]) -> None:
        """Starts a job; raises RequestError: among others, if there is or was a job of that id."""
        request = {"submission_id": job_id, "entrypoint": entrypoint, "runtime_env": dict(runtime_env)}
        await self._ask("POST", "/api/jobs/", json=request)

    async def stop(self, job_id: str) -> None:
        """Asks Ray to stop a job: SIGTERM, and after a while SIGKILL."""
        await self._ask("POST", f"/api/jobs/{quote(job_id)}/stop")

    async def upload(self, name: str, package: bytes) -> str:
        """Puts a zip file where `working_dir` of a job may name it, by the URI that is returned."""
        path = f"/api/packages/gcs/{quote(name)}"
        status, _ = await self._ask("GET", path)  # keeps one that is there from being removed meanwhile
        if status == 404:
            await self._ask("PUT", path, data=package)
        return f"gcs://{name}"

    async def tail(self, job_id: str) -> AsyncIterator[str]:
        """A job's log from its beginning, as it is written; ends when all of it is there.

        Raises Unreachable: the connection broke, or there was nothing for a minute: ask anew.
        """
        address = f"{self.target.url}/api/jobs/{quote(job_id)}/logs/tail"
        try:
            async with self._session.ws_connect(address, max_msg_size=0) as socket:
                while True:
                    # No pings: the dashboard does not read from this connection, so it would not answer them.
                    message = await socket.receive(timeout=QUIET_SECONDS)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    yield message.data
                code = socket.close_code
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(_explain(error, self.target.url)) from None
        if code != aiohttp.WSCloseCode.OK:
            raise Unreachable(f"{self.target.url}: the connection broke")

    async def _ask(self, method: str, path: str, **body: Any) -> tuple[int, str]:
        """The status, of success or 404, and the text of an answer."""
        url = self.target.url
        try:
            # A redirect is refused: it would make a GET of a POST, and could carry the token elsewhere.
            async with self._session.request(method, url + path, allow_redirects=False, **body) as answer:
                status, text = answer.status, await answer.text(errors="replace")
                location = answer.headers.get("Location", "")
        except aiohttp.InvalidURL:
            raise RequestError(f"{url} is no URL of a Ray dashboard; give http://HOST:8265") from None
        except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError) as error:
            raise RequestError(_explain_tls(error, url)) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(_explain(error, url)) from None
        if status in (401, 403):
            raise RequestError(_explain_refusal(self.target))
        if 300 <= status < 400:
            raise RequestError(f"{url} sends on to {location or 'another address'}; give that address")
        if status in (502, 503, 504):
            raise Unreachable(f"{url}: no dashboard behind the proxy there (HTTP {status})")
        if status >= 400 and status != 404:
            raise RequestError(f"{url}: HTTP {status}: {last_line(text)}")
        return status, text


def last_line(text: str) -> str:
    """What matters of a traceback, or of any other text that Ray gives for a cause."""
    lines = text.strip().splitlines() or ["no cause given"]
    return (lines[-1] if lines[0].startswith("Traceback") else lines[0]).strip()


def _read_job(tree: Mapping[str, Any]) -> SubmittedJob:
    def seconds(key: str) -> float | None:
        return tree[key] / 1000 if tree.get(key) else None

    return SubmittedJob(
        id=tree["submission_id"],
        status=tree["status"],
        entrypoint=tree.get("entrypoint") or "",
        message=tree.get("message") or "",
        started=seconds("start_time"),
        ended=seconds("end_time"),
        exit_code=tree.get("driver_exit_code"),
    )


def _explain_refusal(target: Target) -> str:
    if target.token is None:
        return (
            f"{target.url} wants a token: --token FILE, --token k8s:[NAMESPACE/]SECRET, RAY_AUTH_TOKEN or "
            "~/.ray/auth_token"
        )
    return f"{target.url} refuses the token of {target.origin}, which is not this cluster's; --token FILE names another"


def _explain_tls(error: Exception, url: str) -> str:
    cause = getattr(error, "certificate_error", None) or error
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        reason = getattr(cause, "verify_message", "") or "not trusted"
        return f"{url}: its certificate is not accepted: {reason}; SSL_CERT_FILE names a file of authorities to trust"
    return f"{url} does not speak TLS; is it http://?"


def _explain(error: Exception, url: str) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{url}: there is no such host"
    if isinstance(error, TimeoutError):
        return f"{url}: no answer in time; is the address right, and nothing in between?"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = os.strerror(error.os_error.errno).lower() if error.os_error.errno else str(error.os_error)
        return f"{url}: nothing answers ({cause}); is the cluster up, and its port forwarded?"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{url}: no HTTP answer that can be understood ({error.message or error.status}); is it https://?"
    return f"{url}: the connection broke"
