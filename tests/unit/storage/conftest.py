"""An S3 server in this process, with an empty bucket for each test."""

import pytest
from s3server import moto


@pytest.fixture(scope="package")
def server():
    with moto() as server:
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.client.create_bucket(Bucket="kept")
    yield server
    server.remove("kept")
