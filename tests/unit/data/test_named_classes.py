"""The sources that find a class in a file's name by a pattern: `names` and `oxford-pets`."""

import logging

import pytest
from images import tree, zipped

from trainers.data import open_pack, splits_of
from trainers.data.listing import Split
from trainers.data.sources.by_name import list_source
from trainers.errors import RequestError
from trainers.experiment import Data

PETS = [f"images/{breed}_{number}.jpg" for breed in ("Abyssinian", "great_pyrenees") for number in (1, 2, 10)]


def data(path, source="oxford-pets", **options):
    return Data(source=source, path=str(path), **options)


def found(listing):
    return {item.name: (listing.classes[item.label], item.split) for item in listing.items}


def lists(folder, **ids):
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for name, listed in ids.items():
        lines = "".join(f"{one} 1 1 1\n" for one in listed)
        (folder / "annotations" / f"{name}.txt").write_text(f"#Image CLASS-ID SPECIES BREED ID\n{lines}\n")


@pytest.fixture
def pets(tmp_path):
    """Six photos of two breeds: four to train, two to test."""
    folder = tree(tmp_path / "pets", PETS)
    ids = [name[7:-4] for name in PETS]
    lists(folder, trainval=[*ids[:2], *ids[3:5]], test=[ids[2], ids[5]], list=ids)
    return folder


def refusal(options, tmp_path):
    with pytest.raises(RequestError) as caught:
        list_source(options, tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_breed_is_in_the_name_and_the_split_in_the_lists(pets, tmp_path, archive, wrapped, caplog):
    place = pets
    if wrapped:
        place = tmp_path / "root"
        place.mkdir()
        pets.rename(place / "oxford-iiit-pet")
    listing = list_source(data(zipped(place, tmp_path / "pets.zip") if archive else place), tmp_path)
    assert listing.classes == ("Abyssinian", "great_pyrenees")
    assert found(listing) == {
        name: (name[7:].rpartition("_")[0], Split.TEST if name.endswith("_10.jpg") else None) for name in PETS
    }
    assert caplog.text == ""


def test_trimaps_and_hidden_files_are_no_photos(pets, tmp_path, caplog):
    tree(pets, ["annotations/trimaps/Abyssinian_1.png", "images/._Abyssinian_1.jpg", "annotations/._trainval.txt"])
    assert len(list_source(data(pets), tmp_path).items) == 6
    assert caplog.text == ""


def test_photos_in_no_list_are_left_out_and_counted(pets, tmp_path, caplog):
    tree(pets, ["images/Abyssinian_5.jpg", "images/pug_1.jpg"])
    with caplog.at_level(logging.WARNING, "trainers"):
        assert len(list_source(data(pets), tmp_path).items) == 6
    assert "2 images are left out, since they stand in no list; the first is images/Abyssinian_5.jpg" in caplog.text


def test_listed_photos_that_are_missing_are_counted(pets, tmp_path, caplog):
    for name in PETS[:2]:
        (pets / name).unlink()
    tree(pets, ["images/Abyssinian_3.jpg"])
    lists(pets, trainval=["Abyssinian_1", "Abyssinian_2", "Abyssinian_3", "great_pyrenees_1"])
    with caplog.at_level(logging.WARNING, "trainers"):
        assert len(list_source(data(pets), tmp_path).items) == 4
    assert "2 listed images are missing; the first is images/Abyssinian_1.jpg" in caplog.text


def test_without_lists_the_seed_makes_the_splits(pets, tmp_path, caplog):
    for path in (pets / "annotations").iterdir():
        path.unlink()
    with caplog.at_level(logging.WARNING, "trainers"):
        listing = list_source(data(pets), tmp_path)
    assert {item.split for item in listing.items} == {None}
    assert len(listing.items) == 6
    assert "the seed makes all splits" in caplog.text


def test_another_list_is_another_pack(pets, tmp_path):
    key = open_pack(data(pets), tmp_path).key
    lists(pets, test=["Abyssinian_2", "great_pyrenees_10"])
    pack = open_pack(data(pets), tmp_path)
    assert pack.key != key
    assert "images/Abyssinian_2.jpg" in [pack.names[i] for i in splits_of(pack, data(pets), 0).test]


def test_another_pattern_finds_other_classes(pets, tmp_path):
    listing = list_source(data(pets, pattern="^([A-Z]|[a-z])"), tmp_path)
    assert listing.classes == ("A", "g")


def test_a_folder_without_images_says_what_is_expected(tmp_path):
    tree(tmp_path / "photos", ["more/a_1.jpg", "b_2.jpg"])
    assert "has no folder images/; expected is images/BREED_NUMBER.jpg" in refusal(data(tmp_path / "photos"), tmp_path)


def test_the_real_pets_are_split_by_their_lists(real_data, tmp_path):
    options = data(real_data / "oxford-pets-subset.zip", image_size=16)
    listing = list_source(options, tmp_path)
    assert len(listing.classes) == 37
    assert sum(item.split == Split.TEST for item in listing.items) == 406
    assert sum(item.split is None for item in listing.items) == 574


NAMES = ["cat-001.jpg", "cat-002.jpg", "dog-001.jpg", "more/dog-002.jpg"]


def names(path, pattern="^([a-z]+)-"):
    return data(path, "names", pattern=pattern)


def test_the_first_group_in_the_files_own_name_is_the_class(tmp_path):
    listing = list_source(names(tree(tmp_path / "photos", NAMES)), tmp_path)
    assert found(listing) == {name: ("cat" if "cat" in name else "dog", None) for name in NAMES}
    assert found(list_source(names(tmp_path / "photos", r"-\d\d(\d)[.]"), tmp_path))["more/dog-002.jpg"] == ("2", None)


def test_what_the_pattern_does_not_match_is_left_out_and_counted(tmp_path, caplog):
    tree(tmp_path / "photos", [*NAMES, "Cover.jpg", "-.jpg"])
    with caplog.at_level(logging.WARNING, "trainers"):
        assert len(list_source(names(tmp_path / "photos", "^([a-z]*)-"), tmp_path).items) == 4
    assert "2 images are left out, since data.pattern '^([a-z]*)-' finds no class in their names" in caplog.text


def test_a_pattern_that_matches_nothing_shows_a_name(tmp_path):
    message = refusal(names(tree(tmp_path / "photos", ["more/1.jpg", "more/2.jpg"])), tmp_path)
    assert message.startswith("data.pattern: '^([a-z]+)-' finds a class in none of the 2 file names of ")
    assert ", such as 1.jpg; " in message


def test_folders_of_splits_are_the_splits(tmp_path, caplog):
    tree(
        tmp_path / "photos", [f"{split}/{name}-1.jpg" for split in ("Train", "val", "test") for name in ("cat", "dog")]
    )
    tree(tmp_path / "photos", ["other/cat-2.jpg", "cat-3.jpg"])
    with caplog.at_level(logging.WARNING, "trainers"):
        splits = found(list_source(names(tmp_path / "photos"), tmp_path))
    assert {name: split for name, (_, split) in splits.items() if "cat" in name} == {
        "Train/cat-1.jpg": None,
        "val/cat-1.jpg": Split.VALIDATION,
        "test/cat-1.jpg": Split.TEST,
    }
    assert "2 images are left out, since they lie beside train; the first is cat-3.jpg" in caplog.text


def test_one_class_is_refused(tmp_path):
    message = refusal(names(tree(tmp_path / "photos", ["cat-1.jpg", "cat-2.jpg"])), tmp_path)
    assert "one class only, cat, at least two are needed" in message
