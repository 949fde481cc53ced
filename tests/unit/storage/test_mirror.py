"""A folder and its copy on S3: what is copied, when, and what becomes of it where S3 is away."""

import logging
import pickle
import threading

import pytest
from s3transfer.exceptions import RetriesExceededError

from trainers.engine.note import NOTE, Note
from trainers.engine.out_of_memory import KILLED
from trainers.errors import RequestError, WorkError
from trainers.experiment import Experiment, Storage
from trainers.storage import Mirror
from trainers.storage.s3 import Remote
from trainers.trained.find import find_model

URL = "s3://kept/runs/training/run"
S3 = Storage(path="s3://kept/runs/")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "training" / "run"
    folder.mkdir(parents=True)
    return Mirror.of(S3, tmp_path, folder)


@pytest.fixture
def uploads(monkeypatch):
    """The names that are uploaded."""
    names, upload = [], Remote.upload
    monkeypatch.setattr(Remote, "upload", lambda self, name, file: (upload(self, name, file), names.append(name)))
    return names


def test_a_folder_in_the_storage_has_a_copy_below_its_address(tmp_path, run):
    assert run.url == URL
    assert Mirror.of(S3, tmp_path, tmp_path).url == "s3://kept/runs"
    assert run.shown() == URL
    assert run.shown("pictures") == f"{URL}/pictures"


def test_without_s3_there_is_no_copy_and_nothing_happens(tmp_path):
    mirror = Mirror.of(Storage(), tmp_path, tmp_path / "run")
    mirror.push()
    mirror.push_soon()
    mirror.settle()
    mirror.pull()
    mirror.push_file("a")
    mirror.pull_file("a")
    mirror.remove()
    assert (mirror.url, mirror.folders()) == (None, [])
    assert mirror.shown("a") == str(tmp_path / "run" / "a")


def test_a_folder_elsewhere_has_no_copy(tmp_path):
    assert Mirror.of(S3, tmp_path / "cache", tmp_path / "mine").url is None


def test_what_is_pushed_can_be_pulled_elsewhere(s3, run, tmp_path):
    (run.folder / "pictures" / "epochs").mkdir(parents=True)
    (run.folder / "experiment.yaml").write_text("name: a")
    (run.folder / "pictures" / "epochs" / "1.png").write_bytes(b"\x00picture")
    run.push()
    other = Mirror(tmp_path / "other", URL)
    other.pull()
    assert (other.folder / "experiment.yaml").read_text() == "name: a"
    assert (other.folder / "pictures" / "epochs" / "1.png").read_bytes() == b"\x00picture"


def test_only_what_is_new_or_changed_is_pushed(s3, run, uploads):
    for name in ("a", "b"):
        (run.folder / name).write_text(name)
    run.push()
    (run.folder / "b").write_text("changed")
    (run.folder / "c").write_text("c")
    run.push()
    run.push()
    assert sorted(uploads[:2]) == ["a", "b"]
    assert sorted(uploads[2:]) == ["b", "c"]


def test_what_ranks_write_and_what_is_not_finished_stays(s3, run):
    for name in ("checkpoints/epoch-0001/manifest.json", "memory.json", "oom-kills-here", ".hidden", "a.lock", "b.new"):
        (run.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (run.folder / name).write_text("not this")
    (run.folder / "this").write_text("")
    run.push()
    assert s3.names("kept") == ["runs/training/run/this"]


def test_of_several_only_those_that_were_asked_for_are_pulled(s3, tmp_path):
    for name in (
        "sweep-000/experiment.yaml",
        "sweep-000/checkpoints/epoch-0001/manifest.json",
        "other/experiment.yaml",
    ):
        s3.client.put_object(Bucket="kept", Key=f"runs/training/{name}", Body=b"content")
    training = Mirror.of(S3, tmp_path, tmp_path / "training")
    training.pull("sweep-")
    found = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert found == ["training/sweep-000/experiment.yaml"]
    assert training.folders() == ["other", "sweep-000"]


def test_what_is_the_same_is_not_pulled_again(s3, run, monkeypatch):
    (run.folder / "a").write_text("a")
    run.push()
    monkeypatch.setattr(Remote, "download", None)
    run.pull()


def test_what_is_otherwise_here_becomes_as_it_is_there(s3, run):
    (run.folder / "a").write_text("there")
    run.push()
    (run.folder / "a").write_text("here")
    run.pull()
    assert (run.folder / "a").read_text() == "there"


def test_lines_that_were_added_here_since_the_last_push_stay(s3, run):
    (run.folder / "journal.jsonl").write_text("1\n")
    run.push()
    (run.folder / "journal.jsonl").write_text("1\n2\n")
    run.pull()
    assert (run.folder / "journal.jsonl").read_text() == "1\n2\n"
    assert [path.name for path in run.folder.iterdir()] == ["journal.jsonl"]
    run.push()
    for here in ("1\n", "1\n3\n4\n"):
        (run.folder / "journal.jsonl").write_text(here)
        run.pull()
        assert (run.folder / "journal.jsonl").read_text() == "1\n2\n"


def test_a_read_that_breaks_off_is_told_in_one_line(s3, run, monkeypatch):
    def breaks(*args, **kwargs):
        raise RetriesExceededError(OSError())

    (run.folder / "a").write_text("a")
    run.push()
    (run.folder / "a").unlink()
    monkeypatch.setattr(type(Remote(URL, "x").client), "download_fileobj", breaks)
    with pytest.raises(RequestError, match=r"run/a: .* cannot be reached or broke off; check"):
        run.pull()
    assert list(run.folder.iterdir()) == []


def test_a_push_in_the_background_comes_to_its_end(s3, run):
    (run.folder / "a").write_text("a")
    run.push_soon()
    (run.folder / "b").write_text("b")
    run.settle()
    assert s3.names("kept") == ["runs/training/run/a", "runs/training/run/b"]


def test_pushes_that_are_wanted_meanwhile_become_one(s3, run, monkeypatch):
    began, go_on, pushes = threading.Event(), threading.Event(), []

    def push(self):
        pushes.append(1)
        began.set()
        go_on.wait()

    monkeypatch.setattr(Mirror, "push", push)
    run.push_soon()
    began.wait()
    pushing = run._thread
    for _ in range(5):
        run.push_soon()
    go_on.set()
    pushing.join()
    assert len(pushes) == 2


def test_that_s3_is_away_is_told_once_and_at_the_end(run, monkeypatch, caplog):
    logging.getLogger("trainers").propagate = True
    (run.folder / "a").write_text("a")

    def away(self, name, file):
        raise WorkError(f"storage.path: {self.url}: 127.0.0.1 cannot be reached")

    monkeypatch.setattr(Remote, "upload", away)
    for _ in range(3):
        run.push_soon()
        if thread := run._thread:
            thread.join()
    assert [record.getMessage() for record in caplog.records] == [
        f"storage.path: {URL}: 127.0.0.1 cannot be reached; the files are in {run.folder}"
    ]
    run.settle()
    assert len(caplog.records) == 2


def test_what_failed_is_pushed_with_the_next(s3, run, monkeypatch):
    (run.folder / "a").write_text("a")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(WorkError, match="cannot be reached"):
            Mirror(run.folder, URL).push()
    run.push()
    assert s3.names("kept") == ["runs/training/run/a"]


def test_a_pull_that_cannot_be_is_a_wrong_request(s3, run, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(RequestError, match=r"storage\.path: s3://kept/runs/training/run: 127\.0\.0\.1:1 cannot be"):
        run.pull()


def test_an_object_that_stands_for_a_folder_is_no_file(s3, run):
    s3.client.put_object(Bucket="kept", Key="runs/training/run/")
    s3.client.put_object(Bucket="kept", Key="runs/training/run/pictures/")
    run.pull()
    assert list(run.folder.iterdir()) == []


def test_the_copy_can_be_removed(s3, run, tmp_path):
    (run.folder / "a").write_text("a")
    run.push()
    s3.client.put_object(Bucket="kept", Key="runs/training/run-2/a", Body=b"another's")
    run.remove()
    assert s3.names("kept") == ["runs/training/run-2/a"]


def test_it_travels_to_other_machines(s3, run):
    (run.folder / "a").write_text("a")
    run.push_soon()
    run.settle()
    sent = pickle.loads(pickle.dumps(run))  # noqa: S301
    assert (sent.folder, sent.url) == (run.folder, run.url)
    sent.push()


def test_a_note_of_memory_that_ran_out_reaches_the_ranks_on_other_machines(s3, run, tmp_path):
    from trainers.cluster.killed import note_killed

    note_killed(run)
    other = Mirror(tmp_path / "other", URL)
    other.pull_file(NOTE)
    assert Note.read(other.folder) == Note(0, KILLED)


def test_where_there_is_no_note_there_is_none(s3, run):
    run.pull_file(NOTE)
    assert Note.read(run.folder) is None


def test_a_note_that_could_not_be_sent_is_newer_than_the_one_there(s3, run, tmp_path, monkeypatch):
    Note(8, KILLED).write(run.folder)
    run.push_file(NOTE)
    Note(4, KILLED).write(run.folder)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(WorkError, match="cannot be reached"):
            Mirror(run.folder, URL).push_file(NOTE)
    run.pull_file(NOTE)
    assert Note.read(run.folder) == Note(4, KILLED)
    other = Mirror(tmp_path / "other", URL)
    other.pull_file(NOTE)
    assert Note.read(other.folder) == Note(4, KILLED)
    Note(2, KILLED).write(other.folder)
    other.push_file(NOTE)
    run.pull_file(NOTE)
    assert Note.read(run.folder) == Note(2, KILLED)


def test_a_model_that_is_removed_while_it_is_fetched_is_not_kept(s3, tmp_path, monkeypatch):
    for name in ("model.json", "weights.safetensors"):
        s3.client.put_object(Bucket="kept", Key=f"model/{name}", Body=b"content")
    monkeypatch.setattr(Remote, "download", lambda self, name, file: name != "weights.safetensors")
    with pytest.raises(RequestError, match=r"kept/model/weights\.safetensors was removed while it was fetched"):
        find_model(Experiment(), tmp_path, "s3://kept/model/")
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]
