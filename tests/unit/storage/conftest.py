"""An S3 server in this process, with an empty bucket for each test."""

import pytest
from s3server import emptied, moto


@pytest.fixture(scope="package")
def server():
    with moto() as server:
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    with emptied(server, monkeypatch):
        yield server
