import logging
from pkgutil import resolve_name

import pytest
from images import cats_and_dogs, tree, zipped

from trainers.catalogue import SOURCES
from trainers.data.listing import Split
from trainers.data.sources.by_name import list_source
from trainers.errors import RequestError
from trainers.experiment import Data


def listed(tmp_path, source, names, archive=False):
    data = tree(tmp_path / "photos", names)
    place = zipped(data, tmp_path / "photos.zip") if archive else data
    return list_source(Data(source=source, path=str(place)), tmp_path / "storage")


def by_name(listing):
    return {item.name: (listing.classes[item.label], item.split) for item in listing.items}


def refusal(tmp_path, source, names):
    with pytest.raises(RequestError) as caught:
        listed(tmp_path, source, names)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_in_the_catalogue_is_where_it_says(name):
    assert callable(resolve_name(SOURCES[name].function))
    assert f"{name}: {SOURCES[name].about}" in Data.model_fields["source"].description


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("prefix", ["", "train/", "dogs-vs-cats/train/", "Train/"])
def test_the_class_is_the_name_up_to_the_first_dot(tmp_path, prefix, archive):
    listing = listed(tmp_path, "dogs-vs-cats", cats_and_dogs(2, prefix), archive)
    assert listing.classes == ("cat", "dog")
    assert [listing.classes[item.label] for item in listing.items] == ["cat", "cat", "dog", "dog"]
    assert {item.split for item in listing.items} == {None}
    assert [item.name for item in listing.items] == sorted(item.name for item in listing.items)


def test_a_labelled_test_folder_is_the_test_split(tmp_path):
    listing = listed(tmp_path, "dogs-vs-cats", [*cats_and_dogs(2), *cats_and_dogs(1, "test/")])
    assert by_name(listing)["test/cat.0.jpg"] == ("cat", Split.TEST)
    assert by_name(listing)["train/cat.0.jpg"] == ("cat", None)


@pytest.mark.parametrize("folder", ["test", "test1"])
def test_the_competitions_unlabelled_test_images_are_left_out_and_counted(tmp_path, folder, caplog):
    names = [*cats_and_dogs(2), f"{folder}/1.jpg", f"{folder}/2.jpg"]
    with caplog.at_level(logging.WARNING, "trainers"):
        listing = listed(tmp_path, "dogs-vs-cats", names)
    assert len(listing.items) == 4
    assert "2 images are left out, since their names do not say a class of train" in caplog.text
    assert f"the first is {folder}/1.jpg" in caplog.text


def test_images_without_a_class_or_beside_train_are_left_out_and_counted(tmp_path, caplog):
    names = [*cats_and_dogs(2), "train/cat.jpg", "cover.0.jpg", "more/cat.9.jpg", "test/bird.0.jpg"]
    with caplog.at_level(logging.WARNING, "trainers"):
        assert len(listed(tmp_path, "dogs-vs-cats", names).items) == 4
    assert "4 images are left out" in caplog.text


@pytest.mark.parametrize(
    "names", [["train/1.jpg", "train/2.jpg"], ["train/cat.1.jpg"], ["test/cat.1.jpg", "test/dog.1.jpg"]]
)
def test_fewer_than_two_classes_says_what_layout_is_expected(tmp_path, names):
    message = refusal(tmp_path, "dogs-vs-cats", names)
    assert "at least two are needed" in message
    assert "train/cat.0.jpg" in message


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("prefix", ["", "pets/", "train/", "pets/train/"])
def test_a_folder_is_a_class_and_nested_files_count(tmp_path, prefix, archive):
    names = [f"{prefix}{name}" for name in ("cats/a.jpg", "cats/more/b.jpg", "dogs/c.jpg", "Birds/d.jpg")]
    listing = listed(tmp_path, "folder", names, archive)
    assert listing.classes == ("Birds", "cats", "dogs")
    assert [listing.classes[item.label] for item in listing.items] == ["Birds", "cats", "cats", "dogs"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_folders_of_splits_are_the_splits(tmp_path, validation):
    names = [f"{split}/{name}/1.jpg" for split in ("train", validation, "test") for name in ("cats", "dogs")]
    found = by_name(listed(tmp_path, "folder", names))
    assert found["train/cats/1.jpg"] == ("cats", None)
    assert found[f"{validation}/dogs/1.jpg"] == ("dogs", Split.VALIDATION)
    assert found["test/cats/1.jpg"] == ("cats", Split.TEST)


def test_a_class_that_train_lacks_is_named(tmp_path):
    message = refusal(tmp_path, "folder", ["train/cats/1.jpg", "train/dogs/1.jpg", "test/birds/1.jpg"])
    assert "class 'birds' (test/birds/1.jpg) is not among the classes of train (cats, dogs)" in message


def test_train_may_be_a_class_of_trains(tmp_path):
    assert listed(tmp_path, "folder", ["train/1.jpg", "bus/1.jpg"]).classes == ("bus", "train")


def test_images_in_no_class_folder_are_left_out_and_counted(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "trainers"):
        assert len(listed(tmp_path, "folder", ["cats/1.jpg", "dogs/1.jpg", "cover.jpg"]).items) == 2
    assert "1 images are left out, since they lie in no class folder; the first is cover.jpg" in caplog.text


def test_one_class_folder_says_what_layout_is_expected(tmp_path):
    message = refusal(tmp_path, "folder", ["train/cats/1.jpg"])
    assert "one class only, cats" in message
    assert "cats/a.jpg and dogs/b.jpg" in message


def test_the_sample_is_drawn_below_the_storage_and_listed(tmp_path, monkeypatch):
    drawn = []

    def draw(folder, progress):
        drawn.append(folder)
        tree(folder, [*cats_and_dogs(3), *cats_and_dogs(1, "test/")])

    monkeypatch.setattr("trainers.data.sources.sample.make_sample", draw)
    listing = list_source(Data(), tmp_path)
    assert drawn == [tmp_path / "data" / "sample"]
    assert listing.classes == ("cat", "dog")
    assert sum(item.split == Split.TEST for item in listing.items) == 2
