import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Barrier, Thread

import numpy as np
import pytest
from PIL import Image

from trainers.data.sources import sample
from trainers.errors import RequestError, WorkError


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SPLITS", {"train": range(3), "test": range(1000, 1001)})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


def test_there_are_2000_images_to_train_and_400_to_test_half_of_them_cats() -> None:
    assert {split: 2 * len(numbers) for split, numbers in sample.SPLITS.items()} == {"train": 2000, "test": 400}


@pytest.mark.usefixtures("few")
def test_files_are_named_like_dogs_vs_cats_and_are_96_pixel_jpegs(tmp_path: Path) -> None:
    sample.make_sample(tmp_path / "sample")
    names = sorted(str(path.relative_to(tmp_path / "sample")) for path in (tmp_path / "sample").rglob("*.jpg"))
    train = [f"train/{animal}.{number}.jpg" for animal in ("cat", "dog") for number in range(3)]
    assert names == ["test/cat.1000.jpg", "test/dog.1000.jpg", *train]
    for name in names:
        with Image.open(tmp_path / "sample" / name) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (96, 96))


def test_an_image_depends_on_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "SPLITS", {"train": range(4)})
    sample.make_sample(tmp_path / "all")
    monkeypatch.setattr(sample, "SPLITS", {"train": range(3, 4)})
    sample.make_sample(tmp_path / "one")
    name = "train/dog.3.jpg"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert len(set(contents(tmp_path / "all").values())) == 8 + 1  # all differ; one more is the marker


@pytest.mark.usefixtures("few")
def test_a_finished_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    sample.make_sample(tmp_path / "sample", lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(done, 8) for done in range(1, 9)]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    sample.make_sample(tmp_path / "sample", lambda *call: pytest.fail("drawn again"))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.usefixtures("few")
def test_an_older_drawing_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sample"
    with monkeypatch.context() as past:
        past.setattr(sample, "VERSION", "0")
        sample.make_sample(folder)
    old = contents(folder)
    sample.make_sample(folder)
    new = contents(folder)
    assert old.keys() == new.keys()
    assert all(old[name] != new[name] for name in new)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="move it away"):
        sample.make_sample(tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


@pytest.mark.usefixtures("few")
def test_a_stopped_drawing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample.make_sample(tmp_path / "sample", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("before", ["nothing", "an older version"])
def test_two_at_once_do_not_disturb_each_other(tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, both_ready = tmp_path / "sample", Barrier(2)
    if before != "nothing":
        with monkeypatch.context() as past:
            past.setattr(sample, "VERSION", "0")
            sample.make_sample(folder)
    finished = []

    def draw() -> None:
        sample.make_sample(folder, lambda done, total, what: both_ready.wait() and None if done == total else None)
        finished.append(len(contents(folder)))

    threads = [Thread(target=draw, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finished == [8 + 1, 8 + 1]
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("call", ["if __name__ == '__main__': draw()", "draw()"], ids=["guarded", "unguarded"])
def test_a_script_may_draw_with_several_processes(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sample.make_sample(tmp_path / "here")
    script = f"""
import os
import subprocess
import sys
from pathlib import Path
from trainers.data.sources import sample
os.cpu_count, sample._PER_PROCESS, sample.SPLITS = lambda: 2, 1, {sample.SPLITS}
def draw():
    sample.make_sample(Path({str(tmp_path / "there")!r}))
{call}
"""
    (tmp_path / "job.py").write_text(script)
    monkeypatch.setenv("PYTHONPATH", str(Path(sample.__file__).parents[3]))
    subprocess.run([sys.executable, str(tmp_path / "job.py")], check=True, capture_output=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="file/sample: the sample could not be drawn there"):
        sample.make_sample(tmp_path / "file" / "sample")


def test_brightness_and_colour_say_nothing_about_the_animal() -> None:
    def means(animal: str) -> np.ndarray:
        return np.mean(
            [np.asarray(sample.animal_picture(animal, Random(f"{animal}{k}"))) for k in range(150)], axis=(0, 1, 2)
        )

    # 150 means of images that spread by about 25 grey levels: their mean spreads by 2, a difference by 3.
    assert np.abs(means("cat") - means("dog")).max() < 9
