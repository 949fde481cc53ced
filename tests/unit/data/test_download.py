"""Downloads from a real HTTP server on this machine."""

import functools
import hashlib
import shutil
import socket
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from images import tree
from test_mnist import written

from trainers.catalogue import SOURCES
from trainers.data import open_pack
from trainers.data.sources.by_name import list_source
from trainers.data.sources.download import ARCHIVES, Archive
from trainers.errors import RequestError
from trainers.experiment import Data

PETS = [f"images/{breed}_{number}.jpg" for breed in ("Abyssinian", "pug") for number in (1, 2)]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def packed(path, folder, name):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / name, name)


@pytest.fixture
def site(tmp_path):
    """What the server serves: the digits' four files and the pets' two archives."""
    folder = written(tmp_path / "site", packed=True)
    pets = tree(tmp_path / "pets", PETS)
    (pets / "annotations").mkdir()
    (pets / "annotations/trainval.txt").write_text("Abyssinian_1 1 1 1\npug_1 2 2 1\n")
    (pets / "annotations/test.txt").write_text("Abyssinian_2 1 1 1\npug_2 2 2 1\n")
    packed(folder / "images.tar.gz", pets, "images")
    packed(folder / "annotations.tar.gz", pets, "annotations")
    return folder


@pytest.fixture
def asked(site, monkeypatch):
    """The paths that were asked of the server, which the table of archives now leads to."""
    paths = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            paths.append(self.path.lstrip("/"))
            super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    lead_to(monkeypatch, site, f"http://127.0.0.1:{server.server_port}/")
    yield paths
    server.shutdown()
    server.server_close()


def lead_to(monkeypatch, site, *mirrors):
    for source in ("mnist", "oxford-pets"):
        archives = tuple(
            Archive(tuple(f"{mirror}{one.name}" for mirror in mirrors), md5(site / one.name), one.gives)
            for one in ARCHIVES[source]
        )
        monkeypatch.setitem(ARCHIVES, source, archives)


@pytest.fixture
def nowhere():
    """The address of a port at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/"


def refusal(tmp_path, **options):
    with pytest.raises(RequestError) as caught:
        list_source(Data(**options), tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data.path: ")
    return message


def left_in(tmp_path):
    return sorted(path.name for path in (tmp_path / "data").iterdir() if path.suffix != ".lock")


def test_every_source_that_is_downloaded_is_in_the_table():
    assert set(ARCHIVES) == {name for name, source in SOURCES.items() if source.at == "download"}


def test_digits_are_downloaded_once(asked, tmp_path):
    told = []
    pack = open_pack(Data(source="mnist", image_size=28), tmp_path, progress=lambda *news: told.append(news))
    assert len(pack.names) == 60
    assert {what for _, _, what in told} == {"downloading, bytes", "packing"}
    assert asked == [archive.name for archive in ARCHIVES["mnist"]]
    assert left_in(tmp_path) == ["mnist"]
    assert open_pack(Data(source="mnist", image_size=28), tmp_path).key == pack.key
    assert len(asked) == 4


def test_archives_are_unpacked_and_not_kept(asked, tmp_path):
    listing = list_source(Data(source="oxford-pets"), tmp_path)
    assert [item.name for item in listing.items] == PETS
    assert left_in(tmp_path) == ["oxford-pets"]
    assert sorted(path.name for path in (tmp_path / "data/oxford-pets").iterdir()) == ["annotations", "images"]


def test_only_what_is_missing_is_downloaded(asked, tmp_path):
    list_source(Data(source="oxford-pets"), tmp_path)
    shutil.rmtree(tmp_path / "data/oxford-pets/annotations")
    asked.clear()
    list_source(Data(source="oxford-pets"), tmp_path)
    assert asked == ["annotations.tar.gz"]


def test_nothing_is_downloaded_where_there_is_a_path(asked, site, tmp_path):
    list_source(Data(source="mnist", path=str(site)), tmp_path)
    assert asked == []


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
def test_what_was_put_there_by_hand_is_taken(asked, tmp_path, place):
    written(tmp_path / "data/mnist" / place)
    list_source(Data(source="mnist", download=False), tmp_path)
    assert asked == []


def test_an_archive_that_was_put_there_by_hand_is_unpacked(asked, site, tmp_path):
    folder = tmp_path / "data/oxford-pets"
    folder.mkdir(parents=True)
    for name in ("images.tar.gz", "annotations.tar.gz"):
        shutil.copy(site / name, folder)
    assert len(list_source(Data(source="oxford-pets", download=False), tmp_path).items) == 4
    assert asked == []
    assert (folder / "images.tar.gz").exists()


def test_a_damaged_archive_that_was_put_there_is_named(asked, tmp_path):
    folder = tmp_path / "data/oxford-pets"
    folder.mkdir(parents=True)
    (folder / "images.tar.gz").write_bytes(b"half of it")
    message = refusal(tmp_path, source="oxford-pets")
    assert f"{folder}/images.tar.gz is in the way, which is not the file that was published (MD5)" in message


def test_without_a_network_it_is_said_what_to_put_where(asked, site, tmp_path, nowhere, monkeypatch):
    lead_to(monkeypatch, site, nowhere)
    message = refusal(tmp_path, source="mnist")
    assert f"mnist is not whole in {tmp_path}/data/mnist" in message
    assert f"{nowhere}train-images-idx3-ubyte.gz: [Errno 111] Connection refused" in message
    for archive in ARCHIVES["mnist"]:
        assert archive.urls[0] in message.partition("put there the files of ")[2]
    assert "or set data.path" in message
    assert list((tmp_path / "data/mnist").iterdir()) == []
    assert left_in(tmp_path) == ["mnist"]


def test_a_download_that_is_not_wanted_is_not_made(asked, tmp_path):
    message = refusal(tmp_path, source="oxford-pets", download=False)
    assert "data.download is false" in message
    assert ARCHIVES["oxford-pets"][1].urls[0] in message
    assert asked == []


def test_the_next_mirror_is_tried(asked, site, tmp_path, nowhere, monkeypatch):
    here = ARCHIVES["mnist"][0].urls[0].rpartition("/")[0] + "/"
    lead_to(monkeypatch, site, nowhere, f"{here}none/", here)
    list_source(Data(source="mnist"), tmp_path)
    assert asked[:2] == ["none/train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz"]


def test_a_file_with_another_content_is_not_taken(asked, site, tmp_path):
    (site / "images.tar.gz").write_bytes(b"a page that says: log in first")
    message = refusal(tmp_path, source="oxford-pets")
    assert "images.tar.gz: it is not the file that was published (MD5)" in message
    assert list((tmp_path / "data/oxford-pets").iterdir()) == []


def test_what_the_server_refuses_is_told(asked, site, tmp_path):
    (site / "annotations.tar.gz").unlink()
    message = refusal(tmp_path, source="oxford-pets")
    assert "annotations.tar.gz: HTTP Error 404: File not found" in message
    assert "images.tar.gz" not in message
    assert [path.name for path in (tmp_path / "data/oxford-pets").iterdir()] == ["images"]


def test_a_download_draws_no_bar(asked, tmp_path, capfd):
    list_source(Data(source="oxford-pets"), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_two_at_once_download_once(asked, tmp_path):
    all_ready = threading.Barrier(3)

    def get(_):
        all_ready.wait()
        return list_source(Data(source="mnist"), tmp_path)

    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(get, range(3)))) == 3
    assert len(asked) == 4
