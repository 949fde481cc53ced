"""S3 servers for tests: moto's in this process, versitygw's as a process of its own; and one that only refuses."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ports import kept

KEY, SECRET = "someone-who-may", "do-not-print-this"


@dataclass(frozen=True)
class S3:
    """A server, and the environment that leads to it and nowhere else."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    @cached_property
    def client(self) -> Any:
        import boto3

        session = boto3.Session(KEY, SECRET, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url)

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """The keys below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def remove(self, bucket: str) -> None:
        """Removes a bucket with everything in it."""
        for key in self.names(bucket):
            self.client.delete_object(Bucket=bucket, Key=key)
        self.client.delete_bucket(Bucket=bucket)

    def content(self, url: str) -> bytes:
        """The object at s3://bucket/key."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()


@contextlib.contextmanager
def moto() -> Iterator[S3]:
    """moto's server; it takes any key."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield S3("http://{}:{}".format(*server.get_host_and_port()))
    finally:
        server.stop()


@contextlib.contextmanager
def versity(program: str, folder: Path) -> Iterator[S3]:
    """versitygw over a folder."""
    folder.mkdir(parents=True)
    with kept() as (port,):
        command = [program, "--port", f"127.0.0.1:{port}", "--access", KEY, "--secret", SECRET, "posix", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                _await(port, process)
                yield S3(f"http://127.0.0.1:{port}")
            finally:
                process.terminate()


@contextlib.contextmanager
def emptied(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The server with an empty bucket `kept`, to which the environment leads."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.client.create_bucket(Bucket="kept")
    yield server
    server.remove("kept")


@contextlib.contextmanager
def refusing(status: int, code: str, methods: tuple[str, ...] = ("GET", "PUT", "HEAD", "POST")) -> Iterator[str]:
    """The URL of a server that answers some methods with one status and S3 error code, others with nothing in it."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            refused = self.command in methods
            error = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            body = (error if refused else "<ListBucketResult></ListBucketResult>").encode()
            self.send_response(status if refused else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_PUT = do_POST = answer

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _await(port: int, process: subprocess.Popen) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError("the S3 server does not start")
