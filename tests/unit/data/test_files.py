import os
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from images import photo, tree, zipped

from trainers.data.disk import require_space
from trainers.data.listing import SPLIT_FOLDERS
from trainers.data.sources.by_name import open_files, open_tree
from trainers.errors import RequestError


def names(files):
    return [entry.name for entry in files.entries]


@pytest.fixture
def folder(tmp_path):
    return tree(tmp_path / "photos", ["b/2.jpg", "b/1.PNG", "a.jpeg", "b/deep/er/3.webp"])


def test_a_folder_and_its_zip_list_the_same_images_sorted_by_name(folder, tmp_path):
    expected = ["a.jpeg", "b/1.PNG", "b/2.jpg", "b/deep/er/3.webp"]
    plain = open_files(str(folder), tmp_path)
    packed = open_files(str(zipped(folder, tmp_path / "photos.zip")), tmp_path)
    assert names(plain) == names(packed) == expected
    for name in expected:
        assert plain.read(name) == packed.read(name) == (folder / name).read_bytes()
    assert [entry.size for entry in plain.entries] == [entry.size for entry in packed.entries]


def test_hidden_files_and_other_suffixes_are_no_images(folder, tmp_path):
    tree(folder, ["._a.jpg", ".hidden/x.jpg", "__MACOSX/a.jpg", "readme.txt", "table.csv", "noext"])
    assert len(open_files(str(folder), tmp_path).entries) == 4
    assert len(open_files(str(zipped(folder, tmp_path / "x.zip")), tmp_path).entries) == 4


@pytest.mark.parametrize("archive", [False, True])
def test_other_files_are_listed_apart_and_lose_the_wrapping_folder_too(tmp_path, archive):
    data = tree(tmp_path / "data", ["pets/images/a.jpg", "pets/lists/a.txt", "notes.txt", "pets/.hidden.txt"])
    files = open_tree(str(zipped(data, tmp_path / "data.zip") if archive else data), tmp_path)
    assert [entry.name for entry in files.others] == ["notes.txt", "pets/lists/a.txt"]
    inner = files.looked_through(("images",))
    assert names(inner) == ["images/a.jpg"]
    assert [entry.name for entry in inner.others] == ["lists/a.txt"]
    assert inner.read("lists/a.txt") == (data / "pets/lists/a.txt").read_bytes()


@pytest.mark.parametrize("archive", [False, True])
def test_a_file_that_cannot_be_done_without_is_named(folder, tmp_path, archive):
    files = open_tree(str(zipped(folder, tmp_path / "photos.zip") if archive else folder), tmp_path)
    with pytest.raises(RequestError, match=r"^data.path: .*: list.txt: no longer there; get that file anew$"):
        files.require("list.txt")


def test_links_are_followed_and_a_circle_of_links_ends(folder, tmp_path):
    tree(tmp_path / "elsewhere", ["4.jpg"])
    (folder / "c").symlink_to(tmp_path / "elsewhere")
    (folder / "b" / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to(folder / "nothing")
    assert names(open_files(str(folder), tmp_path)) == ["a.jpeg", "b/1.PNG", "b/2.jpg", "b/deep/er/3.webp", "c/4.jpg"]


def test_the_stamp_changes_with_the_content(folder, tmp_path):
    before = open_files(str(folder), tmp_path).entries[0]
    zip_before = open_files(str(zipped(folder, tmp_path / "1.zip")), tmp_path).entries[0]
    content = bytearray((folder / "a.jpeg").read_bytes())
    content[-3] ^= 1
    (folder / "a.jpeg").write_bytes(content)
    os.utime(folder / "a.jpeg", ns=(10**18, 10**18))
    assert open_files(str(folder), tmp_path).entries[0].stamp != before.stamp
    assert open_files(str(zipped(folder, tmp_path / "2.zip")), tmp_path).entries[0].stamp != zip_before.stamp


@pytest.mark.parametrize("archive", [False, True])
def test_folders_that_wrap_everything_are_looked_through_but_splits_are_not(tmp_path, archive):
    data = tree(tmp_path / "data", ["outer/dogs-vs-cats/train/cat.0.jpg", "outer/dogs-vs-cats/train/dog.0.jpg"])
    place = zipped(data, tmp_path / "data.zip") if archive else data
    files = open_files(str(place), tmp_path).looked_through(SPLIT_FOLDERS)
    assert names(files) == ["train/cat.0.jpg", "train/dog.0.jpg"]
    assert files.read("train/cat.0.jpg") == (data / "outer/dogs-vs-cats/train/cat.0.jpg").read_bytes()


def test_a_zip_is_read_correctly_from_many_threads(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(100):
            archive.writestr(f"{number:03}.jpg", photo(number))
    files = open_files(str(tmp_path / "many.zip"), tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(files.read, names(files))) == [photo(number) for number in range(100)]


def one_line(path, tmp_path):
    with pytest.raises(RequestError) as caught:
        open_files(str(path), tmp_path / "downloads")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("data.path: ")
    return message


def test_a_missing_path_is_told_in_one_line(tmp_path):
    assert "there is no folder or file" in one_line(tmp_path / "nothing", tmp_path)
    assert "there is no folder or file nothing.zip in " in one_line("nothing.zip", tmp_path)


def test_what_is_no_zip_is_told_in_one_line(tmp_path):
    (tmp_path / "photos.rar").write_bytes(b"Rar!" + bytes(200))
    assert "not a whole .zip file" in one_line(tmp_path / "photos.rar", tmp_path)
    whole = zipped(tree(tmp_path / "photos", ["a.jpg", "b.jpg"]), tmp_path / "whole.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    assert "not a whole .zip file" in one_line(tmp_path / "half.zip", tmp_path)


def test_an_empty_folder_is_told_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no images in" in one_line(tmp_path / "empty", tmp_path)


def test_a_zip_of_zips_says_to_unpack_it(tmp_path):
    with zipfile.ZipFile(tmp_path / "dogs-vs-cats.zip", "w") as archive:
        archive.writestr("train.zip", b"x")
        archive.writestr("sampleSubmission.csv", b"x")
    assert "train.zip; unpack it" in one_line(tmp_path / "dogs-vs-cats.zip", tmp_path)


def test_an_encrypted_zip_says_to_unpack_it(tmp_path):
    path = zipped(tree(tmp_path / "photos", ["a.jpg"]), tmp_path / "secret.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # general purpose flag, bit 0 (APPNOTE 4.4.4)
    path.write_bytes(content)
    assert "is encrypted; unpack it" in one_line(path, tmp_path)


def test_a_folder_that_may_not_be_read_is_told_in_one_line(folder, tmp_path, monkeypatch):
    def denied(place):
        raise PermissionError(13, "Permission denied", os.fspath(place))

    monkeypatch.setattr("trainers.data.local_files.os.scandir", denied)
    assert f"cannot read {folder}: Permission denied" in one_line(folder, tmp_path)


def test_too_little_disk_says_how_much_is_needed_and_where(tmp_path):
    require_space(tmp_path, 0)
    with pytest.raises(RequestError, match=r"1000000.0 GB are needed and .* GB free") as caught:
        require_space(tmp_path, 10**15)
    assert str(tmp_path) in str(caught.value)
