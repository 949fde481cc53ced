import gzip
import struct

import numpy as np
import pytest
from images import zipped

from trainers.data import open_pack, splits_of
from trainers.data.sources.by_name import list_source
from trainers.data.sources.mnist import FASHION
from trainers.errors import RequestError
from trainers.experiment import Data

TRAIN, TEST = 40, 20


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays(seed=0):
    random = np.random.default_rng(seed)
    return {
        "train-images-idx3-ubyte": random.integers(0, 256, (TRAIN, 28, 28), np.uint8),
        "train-labels-idx1-ubyte": (np.arange(TRAIN) % 10).astype(np.uint8),
        "t10k-images-idx3-ubyte": random.integers(0, 256, (TEST, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": (np.arange(TEST) % 10).astype(np.uint8),
    }


def written(folder, packed=False, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays(seed).items():
        content = idx(array)
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return folder


def digits(path, source="mnist", **options):
    return Data(source=source, path=str(path), image_size=28, **options)


def refusal(path, tmp_path, source="mnist"):
    with pytest.raises(RequestError) as caught:
        open_pack(digits(path, source), tmp_path / "storage")
    message = str(caught.value)
    assert message.startswith("data.path: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
def test_the_four_files_are_found_where_torchvision_keeps_them(tmp_path, place, packed, archive):
    root = tmp_path / "root"
    written(root / place, packed)
    pack = open_pack(digits(zipped(root, tmp_path / "root.zip") if archive else root), tmp_path / "storage")
    expected = arrays()
    images = np.concatenate([expected["train-images-idx3-ubyte"], expected["t10k-images-idx3-ubyte"]])
    assert np.array_equal(pack.inputs[..., 0], images)
    assert pack.shape == (1, 28, 28)
    assert pack.labels.tolist() == [*(n % 10 for n in range(TRAIN)), *(n % 10 for n in range(TEST))]
    assert pack.classes == tuple("0123456789")
    assert (pack.names[0], pack.names[-1]) == ("train/00000", "test/00019")


def test_t10k_is_the_test_split_and_validation_is_held_out_of_train(tmp_path):
    data = digits(written(tmp_path / "root"), validation=0.25)
    splits = splits_of(open_pack(data, tmp_path), data, 0)
    assert [len(indices) for _, indices in splits.items()] == [30, 10, 20]
    assert splits.test.min() == TRAIN


def test_of_several_data_sets_of_torchvisions_each_takes_its_own(tmp_path):
    for seed, folder in enumerate(("MNIST", "FashionMNIST", "KMNIST")):
        written(tmp_path / "root" / folder / "raw", seed=seed)
    mnist = open_pack(digits(tmp_path / "root"), tmp_path / "storage")
    fashion = open_pack(digits(tmp_path / "root", "fashion-mnist"), tmp_path / "storage")
    assert np.array_equal(mnist.inputs[:TRAIN, :, :, 0], arrays(0)["train-images-idx3-ubyte"])
    assert np.array_equal(fashion.inputs[:TRAIN, :, :, 0], arrays(1)["train-images-idx3-ubyte"])
    assert fashion.classes == FASHION


def test_folders_that_could_both_be_meant_are_named(tmp_path):
    written(tmp_path / "root" / "a")
    written(tmp_path / "root" / "b")
    assert "several folders (a, b) have train-images-idx3-ubyte" in refusal(tmp_path / "root", tmp_path)


def test_a_listing_reads_nothing_and_a_later_start_neither(tmp_path, monkeypatch):
    root = written(tmp_path / "root")
    pack = open_pack(digits(root), tmp_path)
    monkeypatch.setattr("trainers.data.local_files._read_plain", None)
    list_source(digits(root), tmp_path)
    assert open_pack(digits(root), tmp_path).fingerprint == pack.fingerprint


def test_what_is_missing_is_named(tmp_path):
    root = written(tmp_path / "root")
    (root / "t10k-labels-idx1-ubyte").unlink()
    assert "lacks t10k-labels-idx1-ubyte (plain or .gz)" in refusal(root, tmp_path)
    (tmp_path / "empty").mkdir()
    message = refusal(tmp_path / "empty", tmp_path)
    assert "nothing there is called train-images-idx3-ubyte" in message
    assert "t10k-labels-idx1-ubyte" in message


def test_a_file_shorter_than_its_header_says_is_damage(tmp_path):
    root = written(tmp_path / "root")
    path = root / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-84])
    message = refusal(root, tmp_path)
    assert "t10k-images-idx3-ubyte holds 15,596 bytes of data, and by its header 20 × 28 × 28 = 15,680" in message
    assert "get that file anew" in message


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("train-images-idx3-ubyte", b"", "is no idx file of bytes in 3 dimensions"),
        ("train-images-idx3-ubyte", idx(np.zeros(5, np.uint8)), "is no idx file of bytes in 3 dimensions"),
        ("train-labels-idx1-ubyte", idx(np.zeros((0,), np.uint8)), "holds 0 bytes of data"),
        (
            "train-labels-idx1-ubyte",
            idx(np.zeros(39, np.uint8)),
            "has 40 images and train-labels-idx1-ubyte has 39 labels",
        ),
        ("train-labels-idx1-ubyte", idx(np.full(40, 10, np.uint8)), "has a label 10, but there are 10 classes"),
        ("t10k-images-idx3-ubyte", idx(np.zeros((20, 8, 9), np.uint8)), "28 × 28 pixels to train and of 8 × 9 to test"),
    ],
)
def test_files_that_do_not_fit_together_are_told_in_one_line(tmp_path, name, content, expected):
    root = written(tmp_path / "root")
    (root / name).write_bytes(content)
    assert expected in refusal(root, tmp_path)


@pytest.mark.parametrize("keep", [20, -20])
def test_a_damaged_gz_is_told_in_one_line(tmp_path, keep):
    root = written(tmp_path / "root", packed=True)
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    assert "train-images-idx3-ubyte.gz is damaged (Compressed file ended" in refusal(root, tmp_path)


def test_the_real_digits_are_packed(real_data, tmp_path):
    data = digits(real_data / "mnist")
    pack = open_pack(data, tmp_path)
    assert pack.inputs.shape == (69_000, 28, 28, 1)
    assert [len(indices) for _, indices in splits_of(pack, data, 0).items()] == [55_200, 4_800, 9_000]
    assert pack.inputs.mean() / 255 == pytest.approx(0.1307, abs=0.001)  # the mean that is quoted everywhere
