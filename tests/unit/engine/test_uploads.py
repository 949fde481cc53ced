"""Checkpoints on S3: whole or not there, wherever a run goes on; never lost quietly, never begun anew by mistake."""

import json
import logging
from pathlib import Path

import pytest
import torch

from trainers.engine.checkpoint import Checkpoint, CheckpointStore
from trainers.errors import WorkError
from trainers.experiment import Experiment
from trainers.storage.s3 import Remote

URL = "s3://kept/runs/training/run/checkpoints"
pytestmark = pytest.mark.usefixtures("s3")
FILES = ["manifest.json", "model.json", "training.pt", "weights.safetensors"]


@pytest.fixture
def warnings(caplog):
    logging.getLogger("trainers").propagate = True
    with caplog.at_level(logging.WARNING, logger="trainers"):
        yield caplog


def checkpoint(epoch, best=1, value=None):
    history = [{"epoch": float(one), "best": float(one <= best)} for one in range(1, epoch + 1)]
    weights = {"weight": torch.full((3,), float(epoch) if value is None else value)}
    return Checkpoint(epoch, weights, {"optimizer": {"lr": 0.1}}, history)


def store_in(folder: Path) -> CheckpointStore:
    """As of a machine whose cache is in a folder."""
    return CheckpointStore(folder / "checkpoints", {"classes": ["cat", "dog"]}, URL)


def there(s3) -> dict[str, list[str]]:
    """The files of each checkpoint on S3."""
    found: dict[str, list[str]] = {}
    for key in s3.names("kept"):
        name, file = key.split("/")[-2:]
        found.setdefault(name, []).append(file)
    return {name: sorted(files) for name, files in found.items()}


def saved(folder: Path, *epochs: int, best: int = 1) -> CheckpointStore:
    store = store_in(folder)
    for epoch in epochs:
        store.save(checkpoint(epoch, best))
    store.finish()
    return store


def test_another_machine_loads_what_one_has_saved(tmp_path):
    saved(tmp_path / "one", 1, 2)
    other = store_in(tmp_path / "other")
    assert other.latest() == 2
    loaded = other.load(2)
    assert torch.equal(loaded.weights["weight"], torch.full((3,), 2.0))
    assert loaded.training == {"optimizer": {"lr": 0.1}}
    assert loaded.history == checkpoint(2).history


def test_a_run_on_s3_keeps_its_checkpoints_there(tmp_path):
    options = Experiment.model_validate({"storage": {"path": "s3://kept/runs"}})
    store = CheckpointStore.of(options, tmp_path, tmp_path / "training" / "run", {})
    assert store.path(3) == tmp_path / "training" / "run" / "checkpoints" / "epoch-0003"
    assert store.place(3) == f"{URL}/epoch-0003"
    local = CheckpointStore.of(Experiment(), tmp_path, tmp_path / "training" / "run", {})
    assert local.place(3) == str(local.path(3))


def test_the_last_two_and_the_best_are_kept_on_s3_too(tmp_path, s3):
    saved(tmp_path, *range(1, 7), best=2)
    assert there(s3) == {f"epoch-000{epoch}": FILES for epoch in (2, 5, 6)}


def test_what_another_machine_has_put_there_is_pruned_as_well(tmp_path, s3):
    saved(tmp_path / "one", 1, 2, 3, best=3)
    store = store_in(tmp_path / "other")
    store.load(3)
    store.save(checkpoint(4, best=4))
    store.finish()
    assert list(there(s3)) == ["epoch-0003", "epoch-0004"]
    assert [path.name for path in sorted(store.folder.glob("epoch-*"))] == ["epoch-0003", "epoch-0004"]


def test_the_manifest_comes_last_and_goes_first(tmp_path, monkeypatch):
    done = []
    upload, delete = Remote.upload, Remote.delete
    monkeypatch.setattr(Remote, "upload", lambda self, name, file: (done.append(name), upload(self, name, file)))
    monkeypatch.setattr(Remote, "delete", lambda self, names: delete(self, [done.append(f"-{n}") or n for n in names]))
    saved(tmp_path, 1, 2, 3, best=3)
    assert done[3] == "epoch-0001/manifest.json"
    removed = [name for name in done if name.startswith("-")]
    assert removed[0] == "-epoch-0001/manifest.json"
    assert len(removed) == 4


def test_a_checkpoint_without_its_manifest_is_not_there(tmp_path, s3):
    saved(tmp_path / "one", 1, 2)
    s3.client.delete_object(Bucket="kept", Key=f"{URL.removeprefix('s3://kept/')}/epoch-0002/manifest.json")
    assert store_in(tmp_path / "one").latest() == 1
    with pytest.raises(WorkError, match="epoch-0002 is not there"):
        store_in(tmp_path / "one").load(2)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_one_is_named_and_the_one_before_it_used(tmp_path, s3, name):
    saved(tmp_path / "one", 1, 2)
    s3.client.put_object(Bucket="kept", Key=f"{URL.removeprefix('s3://kept/')}/epoch-0002/{name}", Body=b"{}")
    other = store_in(tmp_path / "other")
    assert other.latest() == 1
    assert f"checkpoint {URL}/epoch-0002 is damaged" in other.warnings()[0]


def test_a_file_that_is_gone_is_damage(tmp_path, s3):
    saved(tmp_path / "one", 1, 2)
    s3.client.delete_object(Bucket="kept", Key=f"{URL.removeprefix('s3://kept/')}/epoch-0002/training.pt")
    other = store_in(tmp_path / "other")
    assert other.latest() == 1
    assert f"checkpoint {URL}/epoch-0002 is damaged" in other.warnings()[0]


def test_the_cache_is_used_where_it_is_the_same(tmp_path, monkeypatch):
    saved(tmp_path, 1, 2)
    monkeypatch.setattr(Remote, "download", None)
    store = store_in(tmp_path)
    assert store.latest() == 2
    store.load(2)


def test_a_damaged_cache_is_fetched_again(tmp_path):
    store = saved(tmp_path, 1)
    (store.path(1) / "weights.safetensors").write_bytes(b"damage")
    assert torch.equal(store_in(tmp_path).load(1).weights["weight"], torch.ones(3))


def test_a_cache_of_something_else_is_fetched_again(tmp_path):
    saved(tmp_path / "one", 1)
    other = store_in(tmp_path / "other")
    other._uploads, uploads = None, other._uploads
    other.save(checkpoint(1, value=7.0))
    other.save(checkpoint(2, value=7.0))
    other._uploads = uploads
    assert other.latest() == 1
    assert torch.equal(other.load(1).weights["weight"], torch.ones(3))


@pytest.fixture
def failing(monkeypatch):
    """Uploads that fail while the number is above 0; each failure takes one off."""
    upload, left = Remote.upload, [0]

    def fail(self, name, file):
        if left[0] > 0:
            left[0] -= 1
            raise WorkError(f"storage.path: {self.url}/{name}: 127.0.0.1 cannot be reached")
        upload(self, name, file)

    monkeypatch.setattr(Remote, "upload", fail)
    return left


def test_a_failed_upload_is_told_and_done_with_the_next(tmp_path, s3, failing):
    store = store_in(tmp_path)
    failing[0] = 1
    store.save(checkpoint(1))
    store.save(checkpoint(2))
    store.finish()
    assert there(s3) == {"epoch-0001": FILES, "epoch-0002": FILES}
    (told,) = store.warnings()
    assert "cannot be reached" in told
    assert f"the checkpoint is in {store.folder} and is uploaded later" in told


def test_what_is_no_longer_kept_is_not_waited_for_once_s3_is_back(tmp_path, s3, monkeypatch):
    store = store_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        for epoch in range(1, 5):
            store.save(checkpoint(epoch, best=4))
        store._uploads.wait()
    store.finish()
    assert there(s3) == {"epoch-0003": FILES, "epoch-0004": FILES}


def test_a_failed_upload_is_tried_again_where_training_is_stopped(tmp_path, s3, failing):
    store = store_in(tmp_path)
    failing[0] = 1
    store.save(checkpoint(1))
    store.__exit__(GeneratorExit, GeneratorExit(), None)
    assert there(s3) == {"epoch-0001": FILES}


@pytest.mark.parametrize("failures", [1, 2])
def test_checkpoints_that_are_replaced_are_gone_or_it_fails(tmp_path, s3, monkeypatch, failures):
    saved(tmp_path / "one", 1)
    store_in(tmp_path / "one").copy_to(tmp_path / "copy")
    store = saved(tmp_path / "two", 1, 2, 3)
    delete, left = Remote.delete, [failures]

    def fail(self, names):
        names = list(names)
        if any("epoch-0003" in name for name in names) and left[0] > 0:
            left[0] -= 1
            raise WorkError("storage.path: 127.0.0.1 cannot be reached")
        delete(self, names)

    monkeypatch.setattr(Remote, "delete", fail)
    if failures == 1:
        store.replace(tmp_path / "copy")
        assert there(s3) == {"epoch-0001": FILES}
    else:
        with pytest.raises(WorkError, match="cannot be reached"):
            store.replace(tmp_path / "copy")


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    saved(tmp_path / "one", 1)
    other, opened = store_in(tmp_path / "other"), Path.open

    def full(self, *args, **kwargs):
        return opened(Path("/dev/full") if self.name == "weights.safetensors" else self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(WorkError, match=r"weights\.safetensors: cannot be written \(No space left on device\)$"):
        other.latest()
    assert not list(other.folder.glob(".epoch*1.[0-9]*"))


def test_nothing_is_removed_before_what_replaces_it_is_there(tmp_path, s3, failing):
    store = saved(tmp_path, 1, 2, best=2)
    failing[0] = 100
    store.save(checkpoint(3, best=3))
    store._uploads.wait()
    assert [name for name, files in there(s3).items() if files == FILES] == ["epoch-0001", "epoch-0002"]


def test_the_last_upload_is_tried_once_more_at_the_end(tmp_path, s3, failing):
    store = store_in(tmp_path)
    failing[0] = 1
    store.save(checkpoint(1))
    store.finish()
    assert there(s3) == {"epoch-0001": FILES}


def test_what_cannot_be_brought_there_is_a_failure_that_says_where_the_weights_are(tmp_path, failing):
    store = store_in(tmp_path)
    failing[0] = 100
    store.save(checkpoint(1))
    with pytest.raises(WorkError) as caught:
        store.__exit__(None, None, None)
    assert str(store.path(1)) in str(caught.value)
    assert "cannot be reached; the weights are in" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_upload_does_not_hide_why_training_ended(tmp_path, failing, warnings):
    store = store_in(tmp_path)
    failing[0] = 100
    store.save(checkpoint(1))
    store.__exit__(KeyError, KeyError(), None)
    assert "cannot be reached" in warnings.text


def test_an_upload_that_is_on_its_way_is_waited_for_where_training_is_stopped(tmp_path, s3):
    store = store_in(tmp_path)

    def train():
        with store:
            store.save(checkpoint(1))
            yield 1

    training = train()
    next(training)
    training.close()
    assert there(s3) == {"epoch-0001": FILES}


def test_a_store_that_is_away_does_not_make_a_run_begin_anew(tmp_path, monkeypatch):
    saved(tmp_path, 1)
    read = Remote.read

    def away(self, name):
        raise WorkError("storage.path: 127.0.0.1 cannot be reached")

    monkeypatch.setattr(Remote, "read", away)
    with pytest.raises(WorkError, match="cannot be reached"):
        store_in(tmp_path).latest()
    monkeypatch.setattr(Remote, "read", read)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(WorkError, match="cannot be reached"):
        store_in(tmp_path).latest()


def test_an_epoch_that_is_done_again_replaces_what_was_there(tmp_path):
    saved(tmp_path / "one", 1, 2)
    store = store_in(tmp_path / "one")
    store.save(checkpoint(1, value=5.0))
    store.finish()
    assert torch.equal(store_in(tmp_path / "other").load(1).weights["weight"], torch.full((3,), 5.0))


def test_another_runs_checkpoints_take_the_place_of_all(tmp_path, s3):
    saved(tmp_path / "one", 1, 2, 3)
    store_in(tmp_path / "one").copy_to(tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["epoch-0001", "epoch-0002", "epoch-0003"]
    url = URL.replace("/run/", "/other/")
    loser = CheckpointStore(tmp_path / "two" / "checkpoints", {}, url)
    for epoch in range(1, 6):
        loser.save(checkpoint(epoch, value=9.0, best=5))
    loser.finish()
    loser.replace(tmp_path / "copy")
    assert CheckpointStore(tmp_path / "three", {}, url).epochs() == [3, 2, 1]
    assert torch.equal(CheckpointStore(tmp_path / "three", {}, url).load(3).weights["weight"], torch.full((3,), 3.0))


def test_a_manifest_says_nothing_of_other_folders(tmp_path, s3):
    saved(tmp_path / "one", 1)
    key = f"{URL.removeprefix('s3://kept/')}/epoch-0001/manifest.json"
    manifest = json.loads(s3.content(f"s3://kept/{key}"))
    manifest["files"] |= {"../../outside": "0" * 64}
    s3.client.put_object(Bucket="kept", Key=key, Body=json.dumps(manifest).encode())
    assert store_in(tmp_path / "other").latest() == 0
    assert not (tmp_path / "outside").exists()
