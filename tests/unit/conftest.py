"""Unit tests share a machine with others: one thread each, and always the same sums."""

import logging
from collections.abc import Iterator

import pytest
import torch
from s3server import S3, emptied, moto


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Whatever a job has set that another module ran in this process."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """What a test's command line logs to ends with it."""
    log = logging.getLogger("trainers")
    before = list(log.handlers), log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """An S3 server in this process."""
    with moto() as server:
        yield server


@pytest.fixture
def s3(s3_server, monkeypatch) -> Iterator[S3]:
    """The same with an empty bucket, to which the environment leads."""
    with emptied(s3_server, monkeypatch):
        yield s3_server
