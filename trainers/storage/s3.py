"""S3, or any store that speaks its protocol (AWS_ENDPOINT_URL): objects below a prefix, and what its errors mean.

boto3 takes keys, region, profile and endpoint from the environment and from ~/.aws, in its usual order.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)
from s3transfer.exceptions import RetriesExceededError  # type: ignore[import-untyped]

from trainers.errors import RequestError, TrainersError, WorkError

THREADS = 32  # a read waits tens of milliseconds for the network and needs no core meanwhile
READ = "s3:ListBucket and s3:GetObject"
ALL = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
_ATTEMPTS = 3  # of a request; and of a read, whose answer boto3 does not try to read again
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    max_pool_connections=THREADS,
)
_TRANSFER = TransferConfig(max_concurrency=4)  # of one large file: training goes on beside it
_AT_ONCE = 1000  # objects that one request can delete
_NOT_THERE = ("404", "NoSuchKey")
_WRONG_KEYS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "InvalidClientTokenId",
    "XAdminUserNotFound",  # versitygw's own
)
_WRONG_TIME = ("RequestTimeTooSkewed", "RequestExpired")
_BROKEN_OFF = (ConnectionError, HTTPClientError, RetriesExceededError)
_BUSY = ("503", "SlowDown", "ServiceUnavailable", "500", "InternalError", "502", "504")


@dataclass(frozen=True)
class Object:
    """What a listing says of an object: its name below the prefix, its size in bytes, its ETag."""

    name: str
    size: int
    etag: str


class Remote:
    """The objects below s3://bucket/prefix; nothing is asked of the store before it is used.

    All methods may be called from any thread. They raise an error in one line, without keys or signed addresses.

    Args:
        url: of the prefix.
        option: that named it, with which messages begin.
        raises: the kind of error: of a request, or of work that was started.
        needs: what the keys must allow.

    Raises TrainersError: of the kind `raises`.
    """

    def __init__(self, url: str, option: str, raises: type[TrainersError] = WorkError, needs: str = ALL) -> None:
        parts = urlsplit(url)
        self.bucket = parts.netloc
        self.url = url.rstrip("/") if self.bucket else url
        self.prefix = f"{path}/" if (path := parts.path.strip("/")) else ""
        self._option, self._raises, self._needs = option, raises, needs

    @property
    def client(self) -> Any:
        """boto3's client."""
        return _client(tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))))

    def key(self, name: str) -> dict[str, str]:
        """An object as boto3's calls want it."""
        return {"Bucket": self.bucket, "Key": self.prefix + name}

    def objects(self, below: str = "") -> Iterator[Object]:
        """The objects whose names begin with `below`, without those that stand for folders."""
        with self.told():
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + below):
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/"):
                        yield Object(found["Key"][len(self.prefix) :], found["Size"], found["ETag"].strip('"'))

    def folders(self) -> list[str]:
        """The first parts of the names that have several, ascending."""
        with self.told():
            pages = self.client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/").search("CommonPrefixes")
            return sorted(each["Prefix"][len(self.prefix) : -1] for each in found if each)

    def read(self, name: str) -> bytes | None:
        """An object's content; None if it is not there."""
        with self.told(name):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    content: bytes = self.client.get_object(**self.key(name))["Body"].read()
                    return content
                except (BotoCoreError, ClientError) as error:
                    if _code(error) in _NOT_THERE:
                        return None
                    if isinstance(error, ClientError) or attempt == _ATTEMPTS:
                        raise
        raise AssertionError("unreachable")

    def write(self, name: str, content: bytes) -> None:
        """Makes or replaces an object."""
        with self.told(name):
            self.client.put_object(**self.key(name), Body=content)

    def upload(self, name: str, file: Path) -> None:
        """Makes or replaces an object with a file's content, a large one in parts."""
        with self.told(name), file.open("rb") as stream:
            self.client.upload_fileobj(stream, **self.key(name), Config=_TRANSFER)

    def download(self, name: str, file: Path) -> bool:
        """Writes an object's content into a file; False if it is not there."""
        with self.told(name), self.writing(file), file.open("wb") as stream:
            try:
                self.client.download_fileobj(**self.key(name), Fileobj=stream, Config=_TRANSFER)
            except ClientError as error:
                if _code(error) in _NOT_THERE:
                    return False
                raise
        return True

    def fetch(self, found: Object, file: Path) -> None:
        """The same whole or not at all, unless the file has that content; it may be gone meanwhile.

        A file of lines (*.jsonl) is only ever added to: where the object is how it begins, the file is the newer.
        """
        aside = file.with_name(f".{file.name}.{os.getpid()}")
        with self.writing(file):
            if file.is_file() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == found.etag:
                return
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                if self.download(found.name, aside) and not _newer(file, aside):
                    aside.replace(file)
            finally:
                aside.unlink(missing_ok=True)

    def delete(self, names: Iterable[str]) -> None:
        """Removes objects; that one is not there does no harm."""
        keys = [{"Key": self.prefix + name} for name in names]
        for start in range(0, len(keys), _AT_ONCE):
            with self.told():
                some = {"Objects": keys[start : start + _AT_ONCE], "Quiet": True}
                answer = self.client.delete_objects(Bucket=self.bucket, Delete=some)
                if errors := answer.get("Errors"):
                    raise ClientError({"Error": errors[0]}, "DeleteObjects")

    @contextmanager
    def told(self, name: str = "") -> Iterator[None]:
        """What goes wrong with the store inside becomes an error of one line."""
        try:
            yield
        except (BotoCoreError, ClientError, RetriesExceededError, ValueError) as error:
            where = f"{self.url}/{name}" if name else self.url
            raise self._raises(f"{self._option}: {where}: {self._explain(error)}") from error

    @contextmanager
    def writing(self, file: Path) -> Iterator[None]:
        """What goes wrong with a file of this machine inside becomes an error of one line."""
        try:
            yield
        except BotoCoreError:  # some are OSErrors, too
            raise
        except OSError as error:
            raise self._raises(f"{file}: cannot be written ({error.strerror or error})") from error

    def _explain(self, error: Exception) -> str:
        """What went wrong and what to do."""
        if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
            return "no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        if isinstance(error, ProfileNotFound):
            return "the AWS profile is not in ~/.aws; check AWS_PROFILE"
        if isinstance(error, ParamValidationError):
            return f"`{self.bucket}` cannot be a bucket; check the address"
        if not isinstance(error, (ClientError, *_BROKEN_OFF)):  # there may be no client
            first = str(error).partition("\n")[0]
            return f"{first}; check the address and AWS_ENDPOINT_URL"
        host = urlsplit(self.client.meta.endpoint_url).netloc.rpartition("@")[2]
        if isinstance(error, ClientError):
            return _meaning(_code(error), host, self._needs)
        if isinstance(error, SSLError):
            return f"the certificate of {host} is not trusted; name its authority in AWS_CA_BUNDLE"
        return f"{host} cannot be reached or broke off; check AWS_ENDPOINT_URL and the network"


@lru_cache(maxsize=4)
def _client(environment: tuple[tuple[str, str], ...]) -> Any:
    """One client for all that a process does, until its settings change: each takes time and memory to make."""
    return boto3.Session().client("s3", config=_CONFIG)


def probe(url: str) -> None:
    """Lists, writes, reads and removes below an address; raises RequestError: why one of them cannot be done."""
    remote, name = Remote(url, "storage.path", RequestError), f".probe-{secrets.token_hex(8)}"
    next(remote.objects(name), None)
    remote.write(name, name.encode())
    content = remote.read(name)
    remote.delete([name])
    if content != name.encode():
        raise RequestError(f"storage.path: {url}: what was written cannot be read back; is it really S3?")


def for_arrow(url: str) -> tuple[Any, str]:
    """An address as Ray wants it: pyarrow's file system, and the path there. It finds the keys by itself."""
    from pyarrow.fs import S3FileSystem

    remote = Remote(url, "storage.path")
    meta = remote.client.meta
    scheme, host = urlsplit(meta.endpoint_url)[:2]
    region = meta.region_name if meta.region_name != "aws-global" else "us-east-1"
    filesystem = S3FileSystem(endpoint_override=host, scheme=scheme, region=region)
    return filesystem, f"{remote.bucket}/{remote.prefix}".rstrip("/")


def _newer(file: Path, other: Path) -> bool:
    """Whether a file that is only added to has all that the other has."""
    return file.suffix == ".jsonl" and file.is_file() and file.read_bytes().startswith(other.read_bytes())


def _code(error: Exception) -> str:
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def _meaning(code: str, host: str, needs: str) -> str:
    """What the store's error codes mean: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""
    if code == "NoSuchBucket":
        return f"no such bucket at {host}; check the name and AWS_ENDPOINT_URL"
    if code in _NOT_THERE:
        return f"no such bucket or object at {host}; check the name and AWS_ENDPOINT_URL"
    if code in ("403", "AccessDenied"):
        return f"access denied by {host}; the keys must allow {needs}"
    if code in _WRONG_KEYS:
        return f"{host} does not accept the keys ({code}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if code in _WRONG_TIME:
        return f"{host} has another time than this machine ({code}); set the clock of this machine"
    if code in _BUSY:
        return f"{host} is too busy or not ready (it answers {code}, {_ATTEMPTS} times); try again later"
    return f"{host} answers {code}"
