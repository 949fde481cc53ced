"""Packs of sources whose samples come all at once."""

from dataclasses import replace

import numpy as np
import pytest

from trainers.catalogue import SOURCES
from trainers.data import splits_of
from trainers.data.bulk import Arrays, Bulk
from trainers.data.decode import fitted
from trainers.data.listing import UNSPLIT, Split
from trainers.data.pack import open_pack, reopen_pack
from trainers.data.sources.curve import CURVE_NOISE
from trainers.errors import RequestError
from trainers.experiment import Data

SPIRAL, CURVE = 0.6296709, 1.3169985  # sums of some of their numbers
GIVEN = np.array([UNSPLIT] * 6 + [Split.TEST] * 2, np.int8)


def images(channels=1, side=10, changed=0):
    pixels = np.random.default_rng(changed).integers(0, 256, (8, side, side + 2, channels), np.uint8)
    return Arrays([f"{n}" for n in range(8)], pixels, np.arange(8) % 2, GIVEN)


@pytest.fixture
def offered(monkeypatch):
    """A function that makes MNIST's place in the table give these arrays, and returns how often they were loaded."""

    def offer(arrays, stamp="1", classes=("even", "odd")):
        loaded = []

        def load():
            loaded.append(1)
            return arrays

        monkeypatch.setattr("trainers.data.sources.spiral.list_spiral", lambda *_: Bulk(classes, stamp, load, "here"))
        # MNIST's line, but made here
        here = replace(SOURCES["mnist"], function="trainers.data.sources.spiral:list_spiral", at="here")
        monkeypatch.setitem(SOURCES, "mnist", here)
        return loaded

    return offer


def data(**options):
    return Data(**{"source": "mnist", "image_size": 10, **options})


def test_arrays_of_the_wanted_shape_are_packed_as_they_are_and_loaded_once(offered, tmp_path):
    arrays = Arrays(images().names, np.ascontiguousarray(images().inputs[:, :, :10]), images().labels, GIVEN)
    loaded, told = offered(arrays), []
    pack = open_pack(data(), tmp_path, progress=lambda *news: told.append(news))
    assert told == [(8, 8, "packing")]
    assert np.array_equal(pack.inputs, arrays.inputs)
    assert pack.shape == (1, 10, 10)
    assert (pack.names, pack.labels.tolist(), pack.given.tolist()) == (
        arrays.names,
        arrays.labels.tolist(),
        GIVEN.tolist(),
    )
    assert (pack.classes, pack.unreadable, pack.values) == (("even", "odd"), [], None)
    again = open_pack(data(unreadable="error"), tmp_path)
    assert (again.key, again.fingerprint) == (pack.key, pack.fingerprint)
    assert reopen_pack(pack.key, data(), tmp_path).fingerprint == pack.fingerprint
    assert loaded == [1]


@pytest.mark.parametrize("channels", ["grey", "rgb"])
@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_images_of_another_shape_are_fitted_one_by_one(offered, tmp_path, channels, stored, fit):
    arrays = images(stored)
    offered(arrays)
    pack = open_pack(data(channels=channels, fit=fit, image_size=16), tmp_path)
    wanted = 1 if channels == "grey" else 3
    assert pack.shape == (wanted, 16, 16)
    for packed, image in zip(pack.inputs, arrays.inputs, strict=True):
        assert np.array_equal(packed, fitted(image, 16, fit, wanted))


def test_another_stamp_is_another_pack(offered, tmp_path):
    offered(images())
    key = open_pack(data(), tmp_path).key
    loaded = offered(images(), stamp=[["file", 3, "another time"]])
    assert open_pack(data(), tmp_path).key != key
    assert loaded == [1]


def test_the_fingerprint_of_a_split_is_that_of_the_samples_before_they_were_resized(offered, tmp_path):
    offered(images())
    small, large = open_pack(data(), tmp_path), open_pack(data(image_size=32, channels="rgb"), tmp_path)
    assert small.split_fingerprint([6, 7]) == large.split_fingerprint([7, 6])
    offered(images(changed=1), stamp="2")
    assert open_pack(data(), tmp_path).split_fingerprint([6, 7]) != small.split_fingerprint([6, 7])


def test_too_little_disk_is_told_and_nothing_is_left(offered, tmp_path, monkeypatch):
    offered(images())
    monkeypatch.setattr("trainers.data.disk.shutil.disk_usage", lambda folder: type("usage", (), {"free": 1000}))
    with pytest.raises(RequestError, match="are needed and"):
        open_pack(data(), tmp_path)
    assert [path.suffix for path in (tmp_path / "packs").iterdir()] == [".lock"]


def test_the_spiral_has_three_arms_which_the_seed_splits(tmp_path):
    pack = open_pack(Data(source="spiral"), tmp_path)
    assert (pack.inputs.shape, pack.inputs.dtype, pack.shape) == ((3000, 2), np.float32, (2,))
    assert pack.classes == ("arm 1", "arm 2", "arm 3")
    assert np.bincount(pack.labels).tolist() == [1000, 1000, 1000]
    assert np.abs(pack.inputs).max() <= 1
    assert [len(indices) for _, indices in splits_of(pack, Data(source="spiral"), 0).items()] == [2520, 240, 240]
    assert len(set(pack.names)) == 3000


def test_no_straight_line_parts_the_spirals_arms(tmp_path):
    pack = open_pack(Data(source="spiral"), tmp_path)
    design = np.hstack([pack.inputs, np.ones((3000, 1))])
    weights = np.linalg.lstsq(design, np.eye(3)[pack.labels], rcond=None)[0]
    assert ((design @ weights).argmax(1) == pack.labels).mean() < 0.6


def test_the_curve_has_values_with_the_noise_that_is_stated(tmp_path):
    pack = open_pack(Data(source="curve"), tmp_path)
    assert pack.values is not None
    assert (pack.inputs.shape, pack.values.shape, pack.values.dtype) == ((1000, 1), (1000, 1), np.float32)
    assert (pack.shape, pack.classes, set(pack.labels)) == ((1,), (), {0})
    noise = pack.values - (pack.inputs**3 + 0.5 * np.sin(4 * pack.inputs))
    assert noise.std() == pytest.approx(CURVE_NOISE, rel=0.1)  # of 1,000: within 2 % or so
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert [len(indices) for _, indices in splits_of(pack, Data(source="curve"), 0).items()] == [840, 80, 80]


def test_the_values_belong_to_the_fingerprints(tmp_path, monkeypatch):
    pack = open_pack(Data(source="curve"), tmp_path)
    monkeypatch.setattr("trainers.data.sources.curve.CURVE_NOISE", 0.2)
    other = open_pack(Data(source="curve"), tmp_path / "other")
    assert np.array_equal(pack.inputs, other.inputs)
    assert other.fingerprint != pack.fingerprint
    assert other.split_fingerprint([0, 1]) != pack.split_fingerprint([0, 1])


def test_what_is_made_here_is_the_same_in_every_version(tmp_path):
    spiral, curve = (open_pack(Data(source=source), tmp_path) for source in ("spiral", "curve"))
    assert spiral.inputs[[1, 1500, 2999]].sum() == pytest.approx(SPIRAL, abs=1e-5)
    assert curve.values[:3].sum() == pytest.approx(CURVE, abs=1e-5)
