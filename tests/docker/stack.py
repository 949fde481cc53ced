"""How the tests handle the stack: `make up` and `make down`, commands in its containers, HTTP from this host."""

import base64
import os
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
measured: list[str] = []  # told after the tests


def run(command: list[str], *, seconds: float = 800, fails: bool = False, **environment: str) -> str:
    """What a command says on both streams; an AssertionError with it if the command ends otherwise than it should."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )
    assert (done.returncode != 0) == fails, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those from which the system gives any to clients."""
    found: list[int] = []
    port = 20_000 + secrets.randbelow(10_000)
    while len(found) < count:
        port += 1
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    return found


class Stack:
    """A stack that runs.

    Args:
        docker: the client.
        folder: where its secrets lie.
        environment: what infra/stack.sh and compose read.
    """

    def __init__(self, docker: str, folder: Path, environment: dict[str, str]) -> None:
        self.docker, self.folder, self.environment = docker, folder, environment
        self.said = ""  # by the first `make up`
        self.ray = f"http://127.0.0.1:{environment['RAY_DASHBOARD_PORT']}"
        self.mlflow = f"http://127.0.0.1:{environment['MLFLOW_PORT']}"

    def make(self, target: str, **environment: str) -> str:
        """`make TARGET`."""
        return run(["make", "--no-print-directory", target], **self.environment, **environment)

    def compose(self, *arguments: str, fails: bool = False) -> str:
        """`docker compose …` on this stack."""
        files = ["--env-file", self.environment["TRAINERS_ENV_FILE"], "--file", "infra/compose.yaml"]
        return run([self.docker, "compose", *files, *arguments], fails=fails, **self.environment)

    def containers(self) -> list[str]:
        """The ids of all containers, also of those that have ended."""
        return self.compose("ps", "--all", "--quiet").split()

    def inspect(self, container: str, template: str) -> str:
        """What `docker inspect` says of a container in this template."""
        return run([self.docker, "inspect", "--format", template, container]).strip()

    def secret(self, name: str) -> str:
        """A value of the secrets' file."""
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))[name]

    def sql(self, query: str) -> list[str]:
        """The rows of a query to PostgreSQL, columns apart by |."""
        psql = ["psql", "--username=mlflow", "--dbname=mlflow", "--no-align", "--tuples-only", f"--command={query}"]
        return self.compose("exec", "-T", "postgres", *psql).split()

    def keys(self, prefix: str) -> list[str]:
        """What lies in the bucket, as an S3 client in the network sees it."""
        code = (
            "import boto3\n"
            "pages = boto3.client('s3').get_paginator('list_objects_v2')\n"
            f"for page in pages.paginate(Bucket='trainers', Prefix={prefix!r}):\n"
            "    for item in page.get('Contents', []): print(item['Key'])"
        )
        return self.compose("exec", "-T", "head", "python", "-c", code).split()


def status(url: str, *, token: str | None = None, login: str | None = None, host: str | None = None) -> int:
    """The status code of a GET.

    Args:
        token: Ray's.
        login: USER:PASSWORD.
        host: in place of the URL's, as a browser that was misled would send it.
    """
    headers = {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    if host is not None:
        headers["Host"] = host
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
