import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.reports import (
    draw_comparison,
    draw_confusion,
    draw_curves,
    draw_fit,
    draw_lr_curve,
    draw_predictions,
    draw_reconstructions,
    draw_regions,
    draw_search,
    draw_tiles,
)

pytestmark = pytest.mark.filterwarnings(
    "error",  # matplotlib's warnings too: they mean an unreadable picture
    "ignore::ResourceWarning",  # of what another test has left, and is only now collected
    "ignore::pytest.PytestUnraisableExceptionWarning",
)

CATS_DOGS = ["cat", "dog"]


def size_of_png(path: Path) -> tuple[int, int]:
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing was left aside
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        assert image.convert("L").resize((64, 64)).getextrema()[0] < 230  # not blank
        return image.size


def titles_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the panels' titles as they are drawn."""
    titles: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda self, text, **_: titles.append(text))
    return titles


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


def test_curves_need_an_epoch_and_something_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        draw_curves([], tmp_path / "a.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves([{"epoch": 1, "train/loss": math.nan}], tmp_path / "a.png")


@pytest.mark.parametrize(
    ("row", "panels"),
    [
        ({"train/loss": 1.0}, ["loss"]),
        ({"train/loss": math.nan, "lr": 0.1}, ["learning rate"]),
        ({"lr": 0.1, "validation/accuracy": 0.5, "train/loss": 1.0}, ["loss", "accuracy", "learning rate"]),
        ({"train/loss": 0.5, "train/mse": 0.5, "validation/loss": 0.6, "validation/mse": 0.6}, ["mse"]),
        ({"train/loss": 0.3, "train/mse": 0.5}, ["loss", "mse"]),
        ({f"train/{name}": len(name) for name in ("z", "y", "mse", "x", "loss")}, ["loss", "mse", "z", "y"]),
        (
            {
                "train/generator_loss": 1.0,
                "train/discriminator_loss": 0.5,
                "validation/frechet": 9.0,
                "validation/classes": 10.0,
                "validation/confident": 0.5,
                "validation/diversity": 0.9,
                "samples_per_second": 100.0,
            },
            ["loss", "frechet", "diversity", "confident", "samples per second"],
        ),
    ],
)
def test_curves_have_a_panel_for_each_of_the_first_four_metrics_and_none_that_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: dict[str, float], panels: list[str]
) -> None:
    titles = titles_of(monkeypatch)
    draw_curves([{"epoch": epoch, "best": epoch == 2, **row} for epoch in (1, 2, 3)], tmp_path / "curves.png")
    size_of_png(tmp_path / "curves.png")
    assert titles == panels


def test_a_long_fall_of_the_distance_is_drawn_on_a_logarithmic_axis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scales: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_yscale", lambda self, scale: scales.append(scale))
    draw_curves([{"epoch": 1, "validation/frechet": 90.0}, {"epoch": 2, "validation/frechet": 9.0}], tmp_path / "a.png")
    assert scales == []
    draw_curves([{"epoch": 1, "validation/frechet": 900.0}, {"epoch": 2, "validation/frechet": 9}], tmp_path / "a.png")
    assert scales == ["log"]


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
    draw_predictions(images, words, words, [0.5] * count, tmp_path / "grid.png", columns)
    assert size_of_png(tmp_path / "grid.png") == (16 + 160 * shape[0], 16 + 200 * shape[1])


def test_a_wrong_prediction_is_marked_by_more_than_colour(tmp_path: Path) -> None:
    images = np.full((2, 8, 8, 3), 90, dtype=np.uint8)
    draw_predictions(images, ["cat", "cat"], ["cat", "dog"], [0.9, 0.9], tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as picture:
        grey = np.asarray(picture.convert("L"))
    right, wrong = grey[:, 8:168], grey[:, 168:328]
    assert (wrong[8:14] < 200).any()  # a frame
    assert not (right[8:14] < 200).any()
    assert (wrong[182:] < 200).any()  # the true class below
    assert not (right[182:] < 200).any()


def test_a_grid_needs_an_image_and_lists_of_one_length(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        draw_predictions(np.zeros((0, 8, 8, 3), dtype=np.uint8), [], [], [], tmp_path / "grid.png")
    with pytest.raises(ValueError, match="shorter"):
        draw_predictions(np.zeros((2, 8, 8, 3), dtype=np.uint8), CATS_DOGS, CATS_DOGS, [0.5], tmp_path / "grid.png")


def test_a_grid_takes_grey_images(tmp_path: Path) -> None:
    image = np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1) * 3
    for name, images in (("grey.png", image), ("rgb.png", image.repeat(3, axis=3))):
        draw_predictions(images, ["3"], ["8"], [0.5], tmp_path / name)
    assert (tmp_path / "grey.png").read_bytes() == (tmp_path / "rgb.png").read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_show_each_pixel_of_a_small_image_enlarged_by_a_whole_factor(tmp_path: Path, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 20, channels), dtype=np.uint8)
    draw_tiles(images, tmp_path / "tiles.png", columns=2)
    with Image.open(tmp_path / "tiles.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (16 + 140 + 6 + 140 + 16, 16 + 100 + 6 + 100 + 16, 3)
    expected = images[1].repeat(5, axis=0).repeat(5, axis=1)  # the second of the first row
    np.testing.assert_array_equal(pixels[16 : 16 + 140, 122 : 122 + 100], expected.repeat(3 // channels, axis=2))


def test_tiles_of_large_images_are_reduced(tmp_path: Path) -> None:
    draw_tiles(np.full((2, 600, 300, 3), 90, dtype=np.uint8), tmp_path / "tiles.png")
    assert size_of_png(tmp_path / "tiles.png") == (16 + 72 + 6 + 72 + 16, 16 + 144 + 16)


def test_tiles_have_room_for_a_title_and_labels_however_long(tmp_path: Path) -> None:
    images = np.full((1, 8, 8, 1), 90, dtype=np.uint8)
    draw_tiles(images, tmp_path / "tiles.png", labels=["a $class$ " * 20], title="a title " * 20)
    assert size_of_png(tmp_path / "tiles.png") == (16 + 144 + 16, 16 + 30 + 144 + 20 + 16)


def test_tiles_need_images_of_known_shape_and_a_label_for_each(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        draw_tiles(np.zeros((0, 8, 8, 3), dtype=np.uint8), tmp_path / "tiles.png")
    with pytest.raises(ValueError, match="1 labels for 2 images"):
        draw_tiles(np.zeros((2, 8, 8, 3), dtype=np.uint8), tmp_path / "tiles.png", labels=["cat"])
    with pytest.raises(ValueError, match=r"\[H, W, 1 or 3\]"):
        draw_tiles(np.zeros((2, 8, 8, 2), dtype=np.uint8), tmp_path / "tiles.png")


def test_an_original_stands_above_its_reconstruction(tmp_path: Path) -> None:
    originals = np.full((3, 28, 28, 1), 40, dtype=np.uint8)
    draw_reconstructions(originals, originals + 100, tmp_path / "pairs.png", columns=2)
    with Image.open(tmp_path / "pairs.png") as picture:
        grey = np.asarray(picture.convert("L"))
    assert list(grey[[16, 16 + 146, 16 + 324, 16 + 324 + 146], 100]) == [40, 140, 40, 140]
    assert grey[16 + 324, 100 + 146] == 255  # the third has no neighbour


def test_reconstructions_need_pairs(tmp_path: Path) -> None:
    images = np.zeros((2, 8, 8, 1), dtype=np.uint8)
    for others in (images[:1], images.repeat(3, axis=3)):
        with pytest.raises(ValueError, match="needs pairs"):
            draw_reconstructions(images, others, tmp_path / "pairs.png")
    with pytest.raises(ValueError, match="needs pairs"):
        draw_reconstructions(images[:0], images[:0], tmp_path / "pairs.png")


@pytest.mark.parametrize("count", [1, 3, 25])
def test_regions_are_drawn_for_any_number_of_classes(tmp_path: Path, count: int) -> None:
    points = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % count
    asked: list[tuple[np.dtype, tuple[int, ...]]] = []

    def decide(places: np.ndarray) -> np.ndarray:
        asked.append((places.dtype, places.shape[1:]))
        return (places[:, 0] > 0).astype(np.int64) % count

    draw_regions(points, labels, [f"class ${number}$" for number in range(count)], decide, tmp_path / "regions.png")
    size_of_png(tmp_path / "regions.png")
    assert set(asked) == {(np.dtype(np.float32), (2,))}


def test_regions_tell_how_many_points_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = titles_of(monkeypatch)
    points, labels = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]]), np.array([0, 1, 0, 0])
    draw_regions(points, labels, CATS_DOGS, lambda places: (places[:, 0] > 0.5).astype(int), tmp_path / "regions.png")
    assert titles == ["75.00% of 4 right"]


def test_regions_need_points_in_a_plane(tmp_path: Path) -> None:
    for points in (np.zeros((0, 2)), np.zeros((5, 3))):
        with pytest.raises(ValueError, match=r"points \[N, 2\]"):
            draw_regions(
                points, np.zeros(5, dtype=int), CATS_DOGS, lambda _: np.zeros(5, dtype=int), tmp_path / "a.png"
            )


@pytest.mark.parametrize("count", [1, 200, 20_000])
def test_a_fit_is_drawn_for_any_number_of_samples(tmp_path: Path, count: int) -> None:
    x, curve_x = np.linspace(-1, 1, count), np.array([1.0, -1.0, 0.0])
    draw_fit(x, np.sin(x), curve_x, np.sin(curve_x), tmp_path / "fit.png")
    size_of_png(tmp_path / "fit.png")


def test_a_fit_needs_samples_and_a_curve_in_rows(tmp_path: Path) -> None:
    row = np.zeros(3)
    with pytest.raises(ValueError, match="at least one"):
        draw_fit(row, row, row[:0], row[:0], tmp_path / "fit.png")
    for wrong in (row[:2], row[:, None]):
        with pytest.raises(ValueError, match="pairs of rows"):
            draw_fit(row, wrong, row, row, tmp_path / "fit.png")


@pytest.mark.parametrize(
    ("losses", "suggestion", "title"),
    [
        ([2.0, 1.5, 1.0, 4.0, math.nan, math.inf], 0.00213, "suggestion: 0.0021"),
        ([2.0, 2.0], None, "no suggestion"),
        ([math.nan], None, "no suggestion"),
    ],
)
def test_the_lr_curve_tells_the_suggestion_or_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: list[float], suggestion: float | None, title: str
) -> None:
    titles = titles_of(monkeypatch)
    rates = [10.0 ** (step - 5) for step in range(len(losses))]
    draw_lr_curve(rates, losses, losses, suggestion, tmp_path / "lr.png")
    size_of_png(tmp_path / "lr.png")
    assert titles == [title]


def test_the_lr_curve_shows_the_fall_below_an_explosion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[float, float]] = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_ylim", lambda self, *pair: limits.append(pair))
    losses = [2.3, 2.2, 1.9, 1.8, 2.0, 1e9]
    draw_lr_curve([10.0**step for step in range(6)], losses, losses, None, tmp_path / "lr.png")
    ((low, high),) = limits
    assert 1.5 < low < 1.8
    assert 2.3 < high < 3


def test_the_lr_curve_needs_rows_of_one_length(tmp_path: Path) -> None:
    for rates, losses in (([], []), ([0.1, 0.2], [1.0])):
        with pytest.raises(ValueError, match="equal lengths"):
            draw_lr_curve(rates, losses, losses, None, tmp_path / "lr.png")


@pytest.mark.parametrize(
    ("metric", "texts"),
    [
        ("accuracy", ["97.12%", "none", "100.00%"]),
        ("test_accuracy", ["97.12%", "none", "100.00%"]),
        ("mse", ["0.9712", "none", "1"]),
    ],
)
def test_a_comparison_writes_each_runs_value_as_its_metric_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, texts: list[str]
) -> None:
    wrote: list[str] = []
    monkeypatch.setattr("matplotlib.axes.Axes.annotate", lambda self, text, *_, **__: wrote.append(text))
    rows = [("mlp", 0.9712), ("a run that $failed$ " * 5, math.nan), ("cnn", 1.0)]
    draw_comparison(rows, metric, tmp_path / "comparison.png")
    size_of_png(tmp_path / "comparison.png")
    assert wrote == texts


@pytest.mark.parametrize("values", [[0.0], [-1.0, 2.0], [0.5] * 40])
def test_a_comparison_is_drawn_for_any_values(tmp_path: Path, values: list[float]) -> None:
    draw_comparison([(str(value), value) for value in values], "mse", tmp_path / "comparison.png")
    size_of_png(tmp_path / "comparison.png")


def test_a_comparison_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        draw_comparison([], "accuracy", tmp_path / "comparison.png")


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


RATES = [1e-4, 3e-3, 0.01, 0.5]


def test_a_sweep_has_a_panel_for_each_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = titles_of(monkeypatch)
    options = {
        "optimizer.lr": RATES,
        "training.batch_size": [32, 64, 32, 128],
        "model.name": ["squeezenet1_0", "resnet18", "mobilenet_v3_large", "resnet18"],
        "training.ema": [None, 0.99, None, 0.9],
    }
    path = draw_search(
        options, [0.5, 0.7, 0.91, 0.2], [True, False, False, True], "accuracy", tmp_path / "new" / "sweep.png",
        log={"optimizer.lr"}, categories={"training.batch_size"},
    )  # fmt: skip
    width, height = size_of_png(path)
    assert width > height > 600  # two rows
    assert titles == list(options)


def test_the_best_of_a_sweep_is_the_least_where_less_is_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[str] = []
    monkeypatch.setattr("matplotlib.figure.Figure.suptitle", lambda self, text, **_: marked.append(text))
    draw_search({"optimizer.lr": RATES}, [9000.0, 12.5, 300.0, math.nan], [False] * 4, "frechet", tmp_path / "a.png",
                log={"optimizer.lr"}, higher_is_better=False)  # fmt: skip
    assert marked == ["best frechet: 12.5, less is better"]
    size_of_png(tmp_path / "a.png")


@pytest.mark.parametrize("values", [[0.01], [3], ["adam"], [[64, 32]], [True]])
def test_a_sweep_of_one_trial_is_drawn(tmp_path: Path, values: list[object]) -> None:
    draw_search({"an.option": values}, [0.5], [True], "loss", tmp_path / "a.png", log={"an.option"})
    size_of_png(tmp_path / "a.png")


def test_a_sweep_needs_a_score_and_an_option(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a trial with a score"):
        draw_search({"optimizer.lr": [0.1]}, [math.nan], [False], "loss", tmp_path / "a.png")
    with pytest.raises(ValueError, match="an option or more"):
        draw_search({}, [0.1], [False], "loss", tmp_path / "a.png")
