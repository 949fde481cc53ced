"""Images in a real HTTP server that speaks S3's protocol (moto), read through boto3 as in production."""

import contextlib
import gzip
import math
import socket
import struct
import zipfile
from io import BytesIO
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pytest
from PIL import Image
from s3server import KEY, SECRET, moto, refusing

from trainers.data.pack import open_pack
from trainers.data.s3_files import fetch_object
from trainers.data.sources.by_name import open_files
from trainers.errors import RequestError, WorkError
from trainers.experiment import Data


def photo(seed):
    buffer = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOS = {f"train/{name}.{number}.jpg": photo(number) for name in ("cat", "dog") for number in range(4)}


@pytest.fixture(scope="module")
def server():
    with moto() as server:
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    """A client of the server, with the bucket `photos`; the environment leads to it and nowhere else."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    client = server.client
    client.create_bucket(Bucket="photos")
    for name, content in PHOTOS.items():
        client.put_object(Bucket="photos", Key=f"some/dogs-vs-cats/{name}", Body=content)
    client.put_object(Bucket="photos", Key="some/notes.txt", Body=b"no image")
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in PHOTOS.items():
            file.writestr(name, content)
    client.put_object(Bucket="photos", Key="packed/photos.zip", Body=archive.getvalue())
    return client


@pytest.fixture
def refused(monkeypatch):
    """A function that points the environment at a server which answers everything with one status and S3 error code."""
    with contextlib.ExitStack() as servers:
        yield lambda *answer: monkeypatch.setenv("AWS_ENDPOINT_URL", servers.enter_context(refusing(*answer)))


def data(url, **options):
    return Data(**{"source": "dogs-vs-cats", "path": url, "image_size": 16, **options})


def one_line(url, tmp_path):
    with pytest.raises(RequestError) as caught:
        open_files(url, tmp_path / "downloads")
    message = str(caught.value)
    assert "\n" not in message
    assert SECRET not in message
    assert KEY not in message
    assert url in message
    return message


@pytest.mark.parametrize("url", ["s3://photos/some", "s3://photos/some/", "s3://photos/some/dogs-vs-cats/train"])
def test_a_prefix_is_packed(s3, tmp_path, url):
    pack = open_pack(data(url), tmp_path)
    assert len(pack.names) == 8
    assert pack.classes == ("cat", "dog")


def test_a_zip_is_downloaded_once_and_packed_to_the_same_content(s3, tmp_path, monkeypatch):
    from_prefix = open_pack(data("s3://photos/some"), tmp_path)
    told = []
    from_zip = open_pack(data("s3://photos/packed/photos.zip"), tmp_path, progress=lambda *news: told.append(news[2]))
    assert from_zip.fingerprint == from_prefix.fingerprint
    assert set(told) == {"downloading, bytes", "packing"}
    told.clear()
    open_pack(data("s3://photos/packed/photos.zip"), tmp_path, progress=lambda *news: told.append(news[2]))
    assert told == []
    assert [path.suffix for path in sorted((tmp_path / "downloads").iterdir())] == [".lock", ".zip"]


def test_a_changed_zip_is_downloaded_again(s3, tmp_path):
    before = open_pack(data("s3://photos/packed/photos.zip"), tmp_path)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in PHOTOS:
            file.writestr(name, photo(77))
    s3.put_object(Bucket="photos", Key="packed/photos.zip", Body=archive.getvalue())
    assert open_pack(data("s3://photos/packed/photos.zip"), tmp_path).fingerprint != before.fingerprint


def test_files_that_hold_many_samples_are_read_from_a_prefix(s3, tmp_path):
    for name, shape in (("train", (6, 8, 8)), ("t10k", (4, 8, 8))):
        images = bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape) + bytes(math.prod(shape))
        s3.put_object(Bucket="photos", Key=f"digits/MNIST/raw/{name}-images-idx3-ubyte", Body=images)
        labels = bytes([0, 0, 8, 1]) + struct.pack(">I", shape[0]) + bytes(range(shape[0]))
        s3.put_object(Bucket="photos", Key=f"digits/MNIST/raw/{name}-labels-idx1-ubyte.gz", Body=gzip.compress(labels))
    pack = open_pack(data("s3://photos/digits", source="mnist", image_size=8), tmp_path)
    assert pack.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


def test_a_second_opening_reads_no_image(s3, tmp_path, monkeypatch):
    pack = open_pack(data("s3://photos/some"), tmp_path)
    monkeypatch.setattr("trainers.data.s3_files._read", None)
    assert open_pack(data("s3://photos/some"), tmp_path).key == pack.key


def test_a_listing_of_several_pages_is_whole(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    assert len(s3.list_objects_v2(Bucket="photos", Prefix="some/")["Contents"]) == 3
    assert len(open_files("s3://photos/some", tmp_path).entries) == 8


def test_any_object_can_be_fetched_and_keeps_its_suffix(s3, tmp_path):
    s3.put_object(Bucket="photos", Key="weights/net.safetensors", Body=b"tensors")
    path = fetch_object("s3://photos/weights/net.safetensors", tmp_path / "weights", "model.weights")
    assert path.suffix == ".safetensors"
    assert path.read_bytes() == b"tensors"
    assert fetch_object("s3://photos/weights/net.safetensors", tmp_path / "weights", "model.weights") == path


def test_wrong_names_are_told_in_one_line(s3, tmp_path):
    assert "no such bucket at 127.0.0.1:" in one_line("s3://no-photos/some", tmp_path)
    assert "no such bucket or object at 127.0.0.1:" in one_line("s3://photos/none.zip", tmp_path)
    assert "no images in" in one_line("s3://photos/none", tmp_path)
    assert "check the address" in one_line("s3://Not_A_Bucket!/x", tmp_path)
    assert "check the address" in one_line("s3://", tmp_path)


def test_a_dead_endpoint_is_told_in_one_line(s3, tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer there
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://name:{SECRET}@{host}")
        for url in ("s3://photos/some", "s3://photos/packed/photos.zip"):
            assert f"{host} cannot be reached" in one_line(url, tmp_path)


def test_an_endpoint_that_is_no_address_is_told_in_one_line(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    assert "check the address and AWS_ENDPOINT_URL" in one_line("s3://photos/some", tmp_path)


def test_missing_keys_are_told_in_one_line(s3, tmp_path, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no keys; set AWS_ACCESS_KEY_ID" in one_line("s3://photos/some", tmp_path)


def test_a_profile_that_does_not_exist_is_told_in_one_line(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "check AWS_PROFILE" in one_line("s3://photos/some", tmp_path)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", "access denied by 127.0.0.1"),
        (403, "InvalidAccessKeyId", "does not accept the keys (InvalidAccessKeyId)"),
        (403, "SignatureDoesNotMatch", "does not accept the keys (SignatureDoesNotMatch)"),
        (400, "ExpiredToken", "does not accept the keys (ExpiredToken)"),
        (503, "SlowDown", "too busy or not ready (it answers SlowDown, 3 times)"),
        (403, "RequestTimeTooSkewed", "has another time than this machine"),
        (418, "Teapot", "answers Teapot"),
    ],
)
def test_what_the_server_refuses_is_told_in_one_line(s3, tmp_path, refused, status, code, expected):
    refused(status, code)
    assert expected in one_line("s3://photos/some", tmp_path)


def test_a_zip_that_may_not_be_read_is_told_in_one_line(s3, tmp_path, refused):
    refused(403, "")
    assert "access denied by 127.0.0.1" in one_line("s3://photos/packed/photos.zip", tmp_path)


@pytest.fixture
def authorising(server):
    """The server checks keys while the test runs."""

    def check_after(requests):
        url, headers = f"{server.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = Request(url, data=requests, headers=headers, method="POST")
        build_opener(ProxyHandler({})).open(request).close()

    check_after(b"0")
    yield
    check_after(b"inf")


def test_keys_that_the_server_does_not_know_are_told_in_one_line(s3, tmp_path, authorising):
    assert "does not accept the keys (InvalidAccessKeyId)" in one_line("s3://photos/some", tmp_path)


def test_a_server_that_goes_away_while_packing_is_failed_work_in_one_line(s3, tmp_path, monkeypatch):
    running = contextlib.ExitStack()
    other = running.enter_context(moto())  # serves the same data
    monkeypatch.setenv("AWS_ENDPOINT_URL", other.url)

    def stop(done, total, what):
        if what == "packing" and done == 1:
            running.close()

    for number in range(100):  # more than are read ahead
        s3.put_object(Bucket="photos", Key=f"long/cat.{number}.jpg", Body=PHOTOS["train/cat.0.jpg"])
        s3.put_object(Bucket="photos", Key=f"long/dog.{number}.jpg", Body=PHOTOS["train/dog.0.jpg"])
    with pytest.raises(WorkError) as caught:
        open_pack(data("s3://photos/long"), tmp_path, progress=stop)
    assert "cannot be reached or broke off" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.suffix for path in (tmp_path / "packs").iterdir()] == [".lock"]
