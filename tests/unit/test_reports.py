import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.reports import draw_confusion, draw_curves, draw_grid

pytestmark = pytest.mark.filterwarnings("error")  # matplotlib's warnings too: they mean an unreadable picture

CATS_DOGS = ["cat", "dog"]


def size_of_png(path: Path) -> tuple[int, int]:
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing was left aside
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        assert image.convert("L").resize((64, 64)).getextrema()[0] < 200  # not blank
        return image.size


def history(epochs: int, best: int) -> list[Mapping[str, float]]:
    return [
        {
            "epoch": epoch,
            "train/loss": 1 / epoch,
            "validation/loss": 1.1 / epoch,
            "train/accuracy": 1 - 0.5 / epoch,
            "validation/accuracy": 1 - 0.6 / epoch,
            "lr": 0.01,
            "samples_per_second": 1000.0,
            "best": epoch == best,
        }
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize(("epochs", "best"), [(1, 1), (2, 1), (8, 7), (300, 120)])
def test_curves_are_drawn_for_any_number_of_epochs(tmp_path: Path, epochs: int, best: int) -> None:
    path = tmp_path / "new" / "curves.png"
    assert draw_curves(history(epochs, best), path) == path
    width, height = size_of_png(path)
    assert 800 <= width <= 1600
    assert 400 <= height <= 1000


def test_curves_do_without_what_was_not_recorded(tmp_path: Path) -> None:
    draw_curves([{"epoch": 1, "train/loss": 0.7}, {"epoch": 2, "train/loss": math.nan, "best": 1}], tmp_path / "a.png")
    size_of_png(tmp_path / "a.png")


def test_curves_need_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        draw_curves([], tmp_path / "a.png")


@pytest.mark.parametrize("count", [1, 2, 12, 13, 37, 120])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes(tmp_path: Path, count: int) -> None:
    matrix = np.eye(count, dtype=np.int64) * 50
    matrix[0] = 0  # a class without samples
    names = [f"a_rather_long_name_of_a_class_${number}$" for number in range(count)]
    draw_confusion(matrix, names, tmp_path / "confusion.png")
    width, height = size_of_png(tmp_path / "confusion.png")
    assert 300 <= height <= 2400
    assert 300 <= width <= 2400
    assert 0.7 <= width / height <= 1.6


def test_a_confusion_matrix_must_fit_its_classes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2×2"):
        draw_confusion(np.zeros((3, 3), dtype=int), CATS_DOGS, tmp_path / "confusion.png")


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(3, 8, (3, 1)), (8, 8, (8, 1)), (9, 8, (8, 2)), (5, 2, (2, 3))]
)
def test_a_grid_is_as_wide_as_it_has_pictures(tmp_path: Path, count: int, columns: int, shape: tuple[int, int]) -> None:
    images = np.full((count, 20, 30, 3), 90, dtype=np.uint8)
    words = ["a class with a long name"] * count
    draw_grid(images, words, words, [0.5] * count, tmp_path / "grid.png", columns)
    assert size_of_png(tmp_path / "grid.png") == (16 + 160 * shape[0], 16 + 200 * shape[1])


def test_a_wrong_prediction_is_marked_by_more_than_colour(tmp_path: Path) -> None:
    images = np.full((2, 8, 8, 3), 90, dtype=np.uint8)
    draw_grid(images, ["cat", "cat"], ["cat", "dog"], [0.9, 0.9], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        grey = np.asarray(picture.convert("L"))
    right, wrong = grey[:, 8:168], grey[:, 168:328]
    assert (wrong[8:14] < 200).any()  # a frame
    assert not (right[8:14] < 200).any()
    assert (wrong[182:] < 200).any()  # the true class below
    assert not (right[182:] < 200).any()


def test_a_grid_needs_an_image_and_lists_of_one_length(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        draw_grid(np.zeros((0, 8, 8, 3), dtype=np.uint8), [], [], [], tmp_path / "grid.png")
    with pytest.raises(ValueError, match="shorter"):
        draw_grid(np.zeros((2, 8, 8, 3), dtype=np.uint8), CATS_DOGS, CATS_DOGS, [0.5], tmp_path / "grid.png")


def test_a_picture_that_fails_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curves.png"
    draw_curves(history(2, 1), path)
    before = path.read_bytes()

    def fail(self: object, aside: Path, **_: object) -> None:
        aside.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_curves(history(3, 1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
