"""Nothing half-written is ever read: a checkpoint is whole, or it is named and the one before it is used."""

import json
from types import SimpleNamespace

import pytest
import torch

from trainers.engine import worker
from trainers.engine.checkpoint import FORMAT, Checkpoint, CheckpointStore
from trainers.engine.world import World
from trainers.errors import WorkError
from trainers.events import EpochDone, Restored, Warned
from trainers.experiment import Experiment


def checkpoint(epoch, best=1):
    history = [{"epoch": float(one), "best": float(one <= best)} for one in range(1, epoch + 1)]
    return Checkpoint(epoch, {"weight": torch.full((3,), float(epoch))}, {"optimizer": {"lr": 0.1}}, history)


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "checkpoints", {"classes": ["cat", "dog"]})


def test_what_is_saved_is_loaded(store):
    store.save(checkpoint(1))
    loaded = store.load(1)
    assert loaded.epoch == 1
    assert torch.equal(loaded.weights["weight"], torch.ones(3))
    assert loaded.training == {"optimizer": {"lr": 0.1}}
    assert loaded.history == checkpoint(1).history


def test_the_last_two_and_the_best_are_kept(store):
    for epoch in range(1, 7):
        store.save(checkpoint(epoch, best=2))
    assert list(store.epochs()) == [6, 5, 2]


@pytest.mark.parametrize("name", ["weights.safetensors", "training.pt", "model.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(store, name, damage):
    store.save(checkpoint(1))
    file = store.save(checkpoint(2)) / name
    content = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    elif damage == "cut":
        file.write_bytes(content[:-7])
    else:
        file.unlink()
    assert store.latest() == 1
    (told,) = store.warnings()
    assert f"{store.path(2)} is damaged" in told
    assert "the one before it is used" in told
    assert store.warnings() == []
    with pytest.raises(WorkError, match="damaged"):
        store.load(2)


def test_what_a_killed_writer_left_is_not_taken_for_a_checkpoint(store):
    store.save(checkpoint(1))
    aside = store.folder / ".epoch-0002.4711"
    aside.mkdir()
    (aside / "weights.safetensors").write_bytes(b"half")
    assert store.latest() == 1


def test_a_checkpoint_of_another_format_is_refused(store):
    manifest = store.save(checkpoint(1)) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(WorkError, match=f"has format 99, this version reads {FORMAT}"):
        store.load(1)


def test_no_checkpoint_is_epoch_0(store):
    assert store.latest() == 0


def test_what_went_wrong_is_told_before_the_epoch_is_done(store, monkeypatch):
    """After a trial's epoch, and on a worker that waits, nobody asks for more."""

    def train(*_):
        for epoch in (1, 2):
            store._warnings.append(f"upload {epoch} failed")
            yield EpochDone({"epoch": float(epoch)}, "")

    def loop(*_):
        store._warnings.append("epoch 3 is damaged")
        return SimpleNamespace(history=[]), None, ()

    stubs = {"reopen_pack": lambda *_: None, "describe": lambda *_: {}, "assemble": loop, "_train": train}
    for name, stub in stubs.items():
        monkeypatch.setattr(worker, name, stub)
    monkeypatch.setattr(CheckpointStore, "of", lambda *_: store)
    options = SimpleNamespace(experiment=Experiment(), pack_key="", storage=None, folder=None, test=False)
    assert list(worker.work(options, World())) == [
        Warned("epoch 3 is damaged"),
        Restored(0, []),
        Warned("upload 1 failed"),
        EpochDone({"epoch": 1.0}, ""),
        Warned("upload 2 failed"),
        EpochDone({"epoch": 2.0}, ""),
    ]
