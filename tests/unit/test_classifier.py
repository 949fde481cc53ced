"""The classifier of a GAN is whole, and where rank 0 can have it."""

from types import SimpleNamespace

import pytest
from toys import make_classifier, make_pack

from trainers.experiment import Experiment
from trainers.storage import Mirror
from trainers.trained import classifier as verb

FILES = ["model.json", "weights.safetensors"]


@pytest.fixture
def pushed(monkeypatch):
    """The addresses to which folders are copied, which is not done."""
    urls = []
    monkeypatch.setattr(Mirror, "pull", lambda self: None)
    monkeypatch.setattr(Mirror, "push", lambda self: urls.append(self.url))
    return urls


def find(storage, *, path: str, classifier: str | None = None):
    options = Experiment.model_validate({"storage": {"path": path}, "gan": {"classifier": classifier}})
    return verb.find_classifier(options, SimpleNamespace(pack=make_pack()), storage, None, None)


def test_one_that_lies_outside_the_storage_is_copied_to_s3_once(tmp_path, monkeypatch, pushed):
    make_classifier(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    storage = tmp_path / "cache"
    folder = find(storage, path="s3://b/runs", classifier="mine")
    assert folder.parent == storage / "models"
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert find(storage, path="s3://b/runs", classifier=str(folder)) == folder
    assert find(storage, path="s3://b/runs", classifier="mine") == folder
    assert pushed == [f"s3://b/runs/models/{folder.name}"] * 3


def test_one_in_a_folder_stays_where_it_is_and_is_named_for_other_machines(tmp_path, monkeypatch, pushed):
    make_classifier(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    assert find(tmp_path / "runs", path="runs", classifier="mine") == tmp_path / "mine"
    assert pushed == [None]


@pytest.mark.parametrize("there", [[], FILES[:1], FILES])
def test_one_that_is_not_whole_is_trained(tmp_path, monkeypatch, pushed, there):
    trained = []
    monkeypatch.setattr(verb, "_train", lambda *arguments: trained.append(arguments[-1]))
    folder = tmp_path / "classifiers" / f"{make_pack().key}-{Experiment().seed}"
    folder.mkdir(parents=True)
    for name in there:
        (folder / name).write_text("")
    assert find(tmp_path, path="s3://b/runs") == folder
    assert trained == ([] if there == FILES else [folder])
