"""Files in S3, or in any store that speaks its protocol (AWS_ENDPOINT_URL).

boto3 takes keys, region, profile and endpoint from the environment and from ~/.aws, in its usual order.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from trainers.data.decode import Unreadable
from trainers.data.disk import locked, require_space, save
from trainers.data.files import Entry, Files, open_local, sort_entries
from trainers.errors import RequestError, WorkError

THREADS = 32  # a read waits tens of milliseconds for the network and needs no core meanwhile
_ATTEMPTS = 3  # of a read: boto3 tries a request again, but not the reading of its answer
_CONFIG = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 2}, max_pool_connections=THREADS)
_NOT_THERE = ("404", "NoSuchKey")
_WRONG_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidClientTokenId")


def open_s3(url: str, downloads: Path, progress: Callable[[int, int, str], None] | None = None) -> Files:
    """List the files below s3://bucket/prefix, or fetch s3://bucket/….zip and open that.

    Raises RequestError in one line for a wrong name, wrong or missing keys, or a host that cannot be reached.
    """
    if url.lower().endswith(".zip"):
        return open_local(fetch(url, downloads, progress), url)
    with _connected(url) as (client, bucket, key):
        prefix = key if not key or key.endswith("/") else key + "/"
        images, others = sort_entries(_list(client, bucket, prefix))
    return Files(url, images, others, lambda name: _read(client, bucket, prefix + name), threads=THREADS)


def fetch(url: str, folder: Path, progress: Callable[[int, int, str], None] | None = None) -> Path:
    """An object as a file in `folder`, with the object's suffix; it is downloaded once, until it changes.

    Raises RequestError as `open_s3` does, or if it does not fit on the disk.
    """
    with _connected(url) as (client, bucket, key):
        head = client.head_object(Bucket=bucket, Key=key)
        identity = f"{client.meta.endpoint_url} {bucket}/{key} {head['ETag']} {head['ContentLength']}"
        target = folder / (hashlib.sha256(identity.encode()).hexdigest()[:16] + PurePosixPath(key).suffix)
        with locked(target.with_suffix(".lock")):
            if not target.exists():
                require_space(folder, head["ContentLength"])
                body = client.get_object(Bucket=bucket, Key=key, IfMatch=head["ETag"])["Body"]
                save(body.iter_chunks(1 << 20), head["ContentLength"], target, progress)
    return target


@contextmanager
def _connected(url: str) -> Iterator[tuple[Any, str, str]]:
    """A client, the bucket and the key; what goes wrong with them inside becomes a RequestError."""
    parts = urlsplit(url)
    client = None
    try:
        client = boto3.Session().client("s3", config=_CONFIG)  # not the default session, which keeps its first keys
        yield client, parts.netloc, parts.path.lstrip("/")
    except (BotoCoreError, ClientError, ValueError) as error:
        raise RequestError(f"{url}: {_explain(error, client)}") from error


def _list(client: Any, bucket: str, prefix: str) -> Iterator[Entry]:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", ()):
            yield Entry(found["Key"][len(prefix) :], found["Size"], found["ETag"].strip('"'))


def _read(client: Any, bucket: str, key: str) -> bytes:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            return content
        except (BotoCoreError, ClientError) as error:
            if _code(error) in _NOT_THERE:
                raise Unreadable("no longer there") from error
            if isinstance(error, ClientError) or attempt == _ATTEMPTS:
                raise WorkError(f"s3://{bucket}/{key}: {_explain(error, client)}") from error
    raise AssertionError("unreachable")


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _explain(error: Exception, client: Any) -> str:
    """What went wrong and what to do, without keys or signed addresses."""
    host = urlsplit(client.meta.endpoint_url).netloc.rpartition("@")[2] if client else "the endpoint"
    code = _code(error)
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    if isinstance(error, ProfileNotFound):
        return "the AWS profile is not in ~/.aws; check AWS_PROFILE"
    if isinstance(error, (ConnectionError, HTTPClientError)):
        return f"{host} cannot be reached or broke off; check AWS_ENDPOINT_URL and the network"
    if code == "NoSuchBucket":
        return f"no such bucket at {host}; check the name and AWS_ENDPOINT_URL"
    if code in _NOT_THERE:
        return f"no such bucket or object at {host}; check the name and AWS_ENDPOINT_URL"
    if code in ("403", "AccessDenied"):
        return f"access denied by {host}; the keys must allow s3:ListBucket and s3:GetObject"
    if code in _WRONG_KEYS:
        return f"{host} does not accept the keys ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code:
        return f"{host} answers {code}"
    first = str(error).partition("\n")[0]
    return f"{first}; check the address and AWS_ENDPOINT_URL"
