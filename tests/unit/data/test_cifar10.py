import pickle

import numpy as np
import pytest
from images import tree, zipped

from trainers.data import open_pack, splits_of
from trainers.data.listing import Listing, Split
from trainers.data.sources.by_name import list_source
from trainers.data.sources.cifar10 import BATCHES, CLASSES, parse_pickle
from trainers.errors import RequestError
from trainers.experiment import Data

EACH = 1100  # more than the 1,000 items that pickle appends at once


def batch(number, count=EACH):
    random = np.random.default_rng(number)
    return random.integers(0, 10, count).tolist(), random.integers(0, 256, (count, 3072), np.uint8)


def python_2(labels, data):
    """A dictionary as Python 2's cPickle wrote it in protocol 2: its strings are bytes, NumPy's buffer too."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    numbers = b"]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    buffer = b"T" + data.nbytes.to_bytes(4, "little") + data.tobytes()
    names = b"(" + b"".join(text(b"labels_%d.png" % number) for number in range(len(labels))) + b"l"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x06(K\x01M\xff\x00K\x00t" + buffer
    return (
        b"\x80\x02}q\x01("
        + text(b"batch_label") + text(b"training batch 1 of 5") + text(b"labels") + numbers
        + text(b"data") + array + text(b"filenames") + names + b"u."
    )  # fmt: skip


def python_3(protocol):
    return lambda labels, data: pickle.dumps({"labels": labels, "data": data, "filenames": ["x.png"]}, protocol)


FORMS = {"python 2": python_2, **{f"protocol {number}": python_3(number) for number in (2, 4, 5)}}


def written(folder, form="python 2", suffix=""):
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES):
        labels, data = batch(number, 10)
        if suffix:
            content = np.hstack([np.array(labels, np.uint8)[:, None], data]).tobytes()
        else:
            content = FORMS[form](labels, data)
        (folder / f"{name}{suffix}").write_bytes(content)
    return folder


def cifar(path):
    return Data(source="cifar10", path=str(path), image_size=32)


def refusal(path, tmp_path):
    with pytest.raises(RequestError) as caught:
        open_pack(cifar(path), tmp_path / "storage")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_labels_and_pixels_are_found_in_a_pickle_without_loading_it(form):
    labels, data = batch(0)
    found, pixels = parse_pickle(FORMS[form](labels, data))
    assert found.tolist() == labels
    assert np.array_equal(pixels, data)


def test_nothing_in_a_pickle_is_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    root = written(tmp_path / "root")
    (root / "data_batch_2").write_bytes(pickle.dumps({"labels": [1], "data": Trap()}))
    assert "data_batch_2 is no whole batch of CIFAR-10 (1 labels and" in refusal(root, tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize(
    ("folder", "suffix"), [("cifar-10-batches-py", ""), ("cifar-10-batches-bin", ".bin"), ("", "")]
)
def test_the_batches_are_found_in_either_form(tmp_path, folder, suffix, archive):
    root = tmp_path / "root"
    written(root / folder, suffix=suffix)
    data = cifar(zipped(root, tmp_path / "root.zip") if archive else root)
    pack = open_pack(data, tmp_path / "storage")
    assert pack.classes == CLASSES
    assert pack.shape == (3, 32, 32)
    assert pack.labels.tolist() == [label for number in range(6) for label in batch(number, 10)[0]]
    planes = np.concatenate([batch(number, 10)[1] for number in range(6)])
    assert np.array_equal(pack.inputs[7, :, :, 2].ravel(), planes[7, 2048:])  # the blue plane, row by row
    assert pack.names[::10] == [f"{name}/0000" for name in BATCHES]
    assert splits_of(pack, data, 0).test.tolist() == list(range(50, 60))


def test_both_forms_have_the_same_content(tmp_path):
    python = open_pack(cifar(written(tmp_path / "python")), tmp_path / "storage")
    binary = open_pack(cifar(written(tmp_path / "binary", suffix=".bin")), tmp_path / "storage")
    assert binary.fingerprint == python.fingerprint
    assert binary.key != python.key


def test_a_missing_batch_is_named(tmp_path):
    root = written(tmp_path / "root")
    (root / "data_batch_3").unlink()
    assert "lacks data_batch_3; put that beside the others" in refusal(root, tmp_path)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("", b""),
        ("", b"no pickle"),
        ("", python_2(*batch(0, 10))[:-9000]),
        ("", python_2([1, 2, 11], batch(0, 3)[1])),
        ("", python_2([1, 2], batch(0, 3)[1])),
        (".bin", b""),
        (".bin", bytes(3072)),
        (".bin", b"\xff" * 3073),
    ],
)
def test_a_damaged_batch_is_named(tmp_path, suffix, content):
    root = written(tmp_path / "root", suffix=suffix)
    (root / f"data_batch_4{suffix}").write_bytes(content)
    assert f"data_batch_4{suffix} is no whole batch of CIFAR-10 (" in refusal(root, tmp_path)


def test_a_tree_of_files_is_a_folder_of_classes(tmp_path):
    root = tree(tmp_path / "root", [f"{split}/{name}/1.png" for split in ("train", "test") for name in CLASSES])
    listing = list_source(cifar(root), tmp_path)
    assert isinstance(listing, Listing)
    assert listing.classes == CLASSES
    assert [item.split for item in listing.items] == [Split.TEST] * 10 + [None] * 10


def test_neither_batches_nor_images_is_told_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "data.path: no images in" in refusal(tmp_path / "empty", tmp_path)
