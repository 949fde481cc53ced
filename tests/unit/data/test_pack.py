import json
import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from images import cats_and_dogs, photo, tree, zipped

from trainers.data import packing
from trainers.data.decode import decode
from trainers.data.listing import UNSPLIT
from trainers.data.pack import load_pack, open_pack, reopen_pack
from trainers.errors import RequestError
from trainers.experiment import Data

spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def photos(tmp_path):
    return tree(tmp_path / "photos", [*cats_and_dogs(6), *cats_and_dogs(2, "test/")])


@pytest.fixture
def storage(tmp_path):
    return tmp_path / "storage"


def data(place, **options):
    return Data(**{"source": "dogs-vs-cats", "path": str(place), "image_size": 16, **options})


def packed_times(monkeypatch):
    """A list that grows by one whenever something is packed."""
    times = []
    write = packing.write_pack

    def counted(*arguments):
        times.append(arguments)
        write(*arguments)

    monkeypatch.setattr("trainers.data.pack.write_pack", counted)
    return times


def change(path):
    """Another photo, and another time of the file than a moment ago, however coarse the system's clock is."""
    path.write_bytes(photo(99))
    os.utime(path, ns=(10**18, 10**18))


def refusal(*arguments):
    with pytest.raises(RequestError) as caught:
        open_pack(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_in(storage):
    return sorted(path.name for path in (storage / "packs").iterdir() if path.suffix != ".lock")


def test_a_pack_holds_the_decoded_images_in_the_order_of_their_names(photos, storage):
    pack = open_pack(data(photos), storage)
    assert pack.inputs.shape == (16, 16, 16, 3)
    assert pack.inputs.dtype == np.uint8
    assert not pack.inputs.flags.writeable
    assert pack.names == sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.jpg"))
    for name, image in zip(pack.names, pack.inputs, strict=True):
        assert np.array_equal(image, decode((photos / name).read_bytes(), 16, "crop"))
    assert pack.classes == ("cat", "dog")
    assert pack.labels.dtype == np.int64
    assert [pack.classes[label] for label in pack.labels] == [Path(name).name.split(".")[0] for name in pack.names]
    assert [code == UNSPLIT for code in pack.given] == [name.startswith("train/") for name in pack.names]
    assert pack.folder == storage / "packs" / pack.key
    assert pack.unreadable == []


def test_a_grey_pack_has_one_channel(photos, storage):
    pack, colour = open_pack(data(photos, channels="grey"), storage), open_pack(data(photos), storage)
    assert (pack.inputs.shape, pack.shape) == ((16, 16, 16, 1), (1, 16, 16))
    assert colour.shape == (3, 16, 16)
    assert np.array_equal(pack.inputs[0], decode((photos / pack.names[0]).read_bytes(), 16, "crop", 1))
    assert pack.split_fingerprint([0, 1]) == colour.split_fingerprint([0, 1])


def test_the_second_opening_packs_nothing(photos, storage, monkeypatch):
    first = open_pack(data(photos), storage)
    times = packed_times(monkeypatch)
    second = open_pack(data(photos), storage)
    assert times == []
    assert (second.key, second.fingerprint, second.names) == (first.key, first.fingerprint, first.names)
    again = load_pack(first.folder)
    assert again is not None
    assert again.fingerprint == first.fingerprint
    assert load_pack(storage / "packs" / "0123") is None


def test_a_pack_is_opened_by_its_key_without_the_source_and_packed_where_it_is_missing(photos, storage, tmp_path):
    pack = open_pack(data(photos), storage)
    assert reopen_pack(pack.key, data(photos), tmp_path / "elsewhere").fingerprint == pack.fingerprint
    shutil.rmtree(photos)
    assert reopen_pack(pack.key, data(photos), storage).fingerprint == pack.fingerprint


def test_what_changes_the_pixels_changes_the_key_and_what_does_not_does_not(photos, storage):
    key = open_pack(data(photos), storage).key
    assert open_pack(data(photos, validation=3, test=1, unreadable="error"), storage).key == key
    assert open_pack(data(photos, image_size=8), storage).key != key
    assert open_pack(data(photos, fit="pad"), storage).key != key
    assert open_pack(data(photos, channels="grey"), storage).key != key
    change(photos / "train/cat.0.jpg")
    assert open_pack(data(photos), storage).key != key


def test_the_fingerprint_is_that_of_the_content_wherever_it_lies(photos, storage, tmp_path):
    pack = open_pack(data(photos), storage)
    archive = open_pack(data(zipped(photos, tmp_path / "photos.zip")), storage)
    assert archive.key != pack.key
    assert archive.fingerprint == pack.fingerprint
    change(photos / "train/cat.0.jpg")
    assert open_pack(data(photos), storage).fingerprint != pack.fingerprint


def test_the_fingerprint_of_a_split_does_not_depend_on_size_or_order(photos, storage):
    pack, small = open_pack(data(photos), storage), open_pack(data(photos, image_size=8, fit="pad"), storage)
    assert pack.split_fingerprint([0, 1, 2]) == small.split_fingerprint(np.array([2, 0, 1]))
    assert pack.split_fingerprint([0, 1]) != pack.split_fingerprint([0, 2])
    change(photos / pack.names[0])
    changed = open_pack(data(photos), storage)
    assert changed.split_fingerprint([0, 1, 2]) != pack.split_fingerprint([0, 1, 2])
    assert changed.split_fingerprint([1, 2]) == pack.split_fingerprint([1, 2])


def test_progress_is_told_from_the_first_image_to_the_last(photos, storage):
    told = []
    open_pack(data(photos), storage, progress=lambda *news: told.append(news))
    assert told == [(done, 16, "packing") for done in range(1, 17)]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: flip_a_bit(folder / "inputs.bin"), "inputs.bin does not have the content"),
        (lambda folder: flip_a_bit(folder / "index.json"), "index.json does not have the content"),
        (lambda folder: os.truncate(folder / "inputs.bin", 100), "inputs.bin has 100 bytes and should have 12288"),
        (lambda folder: (folder / "inputs.bin").unlink(), "inputs.bin: No such file"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json: No such file"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), ""),
        (lambda folder: (folder / "manifest.json").write_text("[]"), ""),
        (lambda folder: (folder / "manifest.json").write_text("half of a"), ""),
    ],
)
def test_a_damaged_pack_is_named_and_packed_again(photos, storage, damage, told, caplog):
    pack = open_pack(data(photos), storage)
    expected = pack.inputs.tobytes()
    damage(pack.folder)
    for file in pack.folder.iterdir():
        os.utime(file, ns=(10**18, 10**18))  # another time than a moment ago, however coarse the system's clock is
    assert load_pack(pack.folder) is None
    with caplog.at_level(logging.WARNING, "trainers"):
        again = open_pack(data(photos), storage)
    (record,) = caplog.records
    assert str(pack.folder) in record.getMessage()
    assert told in record.getMessage()
    assert again.inputs.tobytes() == expected
    assert again.fingerprint == pack.fingerprint


BROKEN = {"train/cat.2.jpg": b"", "train/dog.1.jpg": b"a text called .jpg", "train/dog.3.jpg": photo(0, 99, 99)[:900]}
CAUSES = [
    ("train/cat.2.jpg", "empty file"),
    ("train/dog.1.jpg", "not an image of a known format"),
    ("train/dog.3.jpg", "truncated"),
]


@pytest.fixture
def broken(photos):
    for name, content in BROKEN.items():
        (photos / name).write_bytes(content)
    return photos


def test_unreadable_images_are_left_out_and_remembered(broken, storage, monkeypatch):
    pack = open_pack(data(broken), storage)
    assert pack.unreadable == CAUSES
    assert len(pack.inputs) == len(pack.names) == len(pack.labels) == len(pack.given) == 13
    for name, image in zip(pack.names, pack.inputs, strict=True):
        assert np.array_equal(image, decode((broken / name).read_bytes(), 16, "crop"))
    times = packed_times(monkeypatch)
    assert open_pack(data(broken), storage).unreadable == CAUSES
    assert times == []


def test_an_error_is_asked_for_and_names_the_first_also_from_a_pack_that_is_there(broken, storage):
    for _ in range(2):
        message = refusal(data(broken, unreadable="error"), storage)
        assert "train/cat.2.jpg: empty file (and 2 more)" in message
        assert "data.unreadable" in message


@pytest.mark.parametrize("packed_before", [False, True])
def test_unreadable_images_are_moved_beside_the_data_and_nothing_is_packed_twice(
    broken, storage, packed_before, monkeypatch
):
    aside = broken.parent / "unreadable"
    tree(aside, ["train/cat.2.jpg"])
    present = (aside / "train/cat.2.jpg").read_bytes()
    times = packed_times(monkeypatch)
    if packed_before:
        open_pack(data(broken), storage)
    pack = open_pack(data(broken, unreadable="move"), storage)
    assert pack.unreadable == CAUSES
    assert len(pack.names) == 13
    assert (aside / "train/cat.2.jpg").read_bytes() == present
    assert (aside / "train/cat.2.1.jpg").read_bytes() == b""
    for name in ("train/dog.1.jpg", "train/dog.3.jpg"):
        assert (aside / name).read_bytes() == BROKEN[name]
        assert not (broken / name).exists()
    for policy in ("move", "error", "skip"):
        assert open_pack(data(broken, unreadable=policy), storage).key == pack.key
    assert len(times) == 1


def test_images_are_moved_under_the_names_that_they_have_in_a_wrapping_folder(tmp_path, storage):
    outer = tree(tmp_path / "outer", cats_and_dogs(2, "dogs-vs-cats/train/"))
    (outer / "dogs-vs-cats/train/dog.0.jpg").write_bytes(b"")
    open_pack(data(outer, unreadable="move"), storage)
    assert (tmp_path / "unreadable/dogs-vs-cats/train/dog.0.jpg").exists()


def test_nothing_can_be_moved_out_of_a_zip(broken, storage, tmp_path):
    message = refusal(data(zipped(broken, tmp_path / "photos.zip"), unreadable="move"), storage)
    assert "train/cat.2.jpg: empty file (and 2 more)" in message
    assert "out of a folder only" in message


def test_a_class_without_a_readable_image_is_refused_and_nothing_is_left(photos, storage):
    for path in photos.rglob("dog.*"):
        path.write_bytes(b"")
    message = refusal(data(photos), storage)
    assert "no image of class dog for training is readable; 8 of 16 images are not" in message
    assert left_in(storage) == []


def test_too_little_disk_is_told_before_anything_is_written(photos, storage, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1, 1, 20_000))
    monkeypatch.setattr("trainers.data.packing.decode", None)
    assert "are needed and" in refusal(data(photos), storage)
    assert left_in(storage) == []


def test_a_full_disk_while_writing_is_told_in_one_line_and_cleaned_up(photos, storage, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("trainers.data.packing._write_file", full)
    assert "No space left on device; make room or set storage.path" in refusal(data(photos), storage)
    assert left_in(storage) == []


def test_a_storage_that_is_no_folder_is_told_in_one_line(photos, tmp_path):
    (tmp_path / "file").write_text("")
    assert "check storage.path" in refusal(data(photos), tmp_path / "file")


def test_a_file_that_went_away_while_packing_is_left_out(photos, storage, monkeypatch):
    def vanish(*arguments):
        (photos / "train/dog.5.jpg").unlink(missing_ok=True)

    monkeypatch.setattr("trainers.data.packing.require_space", vanish)
    assert open_pack(data(photos), storage).unreadable == [("train/dog.5.jpg", "no longer there")]


def pack_in_turn(place, storage, first, second, results):
    """Opens the pack in a process of its own; the first to pack waits inside until the other is at the door."""
    packs = 0
    inner = packing.write_pack

    def write(*arguments):
        nonlocal packs
        packs += 1
        first.set()
        second.wait()
        inner(*arguments)

    import trainers.data.pack as module

    module.write_pack = write
    waiting = logging.Handler()
    waiting.emit = lambda record: second.set() if "waiting for another process" in record.getMessage() else None
    logging.getLogger("trainers").setLevel(logging.INFO)
    logging.getLogger("trainers").addHandler(waiting)
    pack = open_pack(data(place), storage)
    results.put((packs, pack.fingerprint))


def test_of_two_processes_at_once_one_packs_and_the_other_waits_for_it(photos, storage):
    first, second, results = spawn.Event(), spawn.Event(), spawn.Queue()
    workers = [
        spawn.Process(target=pack_in_turn, args=(photos, storage, first, second, results), daemon=True)
        for _ in range(2)
    ]
    workers[0].start()
    first.wait()
    workers[1].start()
    outcomes = sorted(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    assert [packs for packs, _ in outcomes] == [0, 1]
    assert outcomes[0][1] == outcomes[1][1] == open_pack(data(photos), storage).fingerprint


def pack_until_killed(place, storage, started):
    def progress(done, total, what):
        if done == 5:
            started.set()
            threading.Event().wait()

    open_pack(data(place), storage, progress=progress)


def test_what_a_killed_packing_left_is_removed_by_the_next_of_any_kind(photos, storage):
    started = spawn.Event()
    worker = spawn.Process(target=pack_until_killed, args=(photos, storage, started), daemon=True)
    worker.start()
    started.wait()
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    (left,) = left_in(storage)
    assert left.endswith(".part")
    other = open_pack(data(photos, image_size=8), storage)
    assert left_in(storage) == [other.key]
    pack = open_pack(data(photos), storage)
    assert left_in(storage) == sorted([other.key, pack.key])
    assert len(pack.inputs) == 16


def test_a_packing_that_is_under_way_is_not_taken_for_a_leftover(photos, storage):
    def progress(done, total, what):
        if done == 5:
            open_pack(data(photos, image_size=8), storage)

    assert len(open_pack(data(photos), storage, progress=progress).inputs) == 16


def test_the_index_can_be_read_without_this_library(photos, storage):
    pack = open_pack(data(photos), storage)
    index = json.loads((pack.folder / "index.json").read_text())
    assert index["names"] == pack.names
    assert (index["shape"], index["dtype"]) == ([16, 16, 3], "|u1")
    raw = np.fromfile(pack.folder / "inputs.bin", index["dtype"]).reshape(len(pack.names), *index["shape"])
    assert np.array_equal(raw, pack.inputs)
