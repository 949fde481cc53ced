"""The worked examples of CONTRIBUTING: each is a file and a line in a table, and then it trains."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

from trainers import catalogue, events
from trainers.data import open_pack
from trainers.engine import Job, work_here
from trainers.experiment import Experiment
from trainers.models import table
from trainers.tasks import load_predictor

TEXT = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text()


def example(what: str) -> tuple[str, str, str]:
    """The name of the file of a worked example, its code, and its line in a table."""
    section = TEXT.split(f"## Adding a {what}\n")[1].split("\n## ")[0]
    file, line = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return re.findall(r"`(trainers/\w+/(?:labelled|tiny|quantile)\.py)`", section)[0], file, line


@pytest.fixture
def add(monkeypatch):
    """Puts an example where its text says: the file among the modules, the line into the table."""

    def put(what: str, entries: dict, names: dict) -> str:
        path, code, line = example(what)
        module = ModuleType(path.removesuffix(".py").replace("/", "."))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(code, path, "exec"), module.__dict__)  # the example is ours
        ((name, entry),) = eval(f"{{{line}}}", {**names, **module.__dict__}).items()  # noqa: S307
        monkeypatch.setitem(entries, name, entry)
        return name

    return put


def train(tmp_path: Path, **options: dict) -> list[events.EpochDone]:
    experiment = Experiment.model_validate({"training": {"epochs": 3, "batch_size": 8}, **options})
    pack = open_pack(experiment.data, tmp_path)
    told = list(work_here(Job(experiment, tmp_path / "run", tmp_path, pack.key), cpus=1, gpu=False))
    assert isinstance(told[-1], events.Tested)
    assert load_predictor(Path(told[-1].checkpoint)).answer_all(pack.inputs[:2])
    return [event for event in told if isinstance(event, events.EpochDone)]


def photos(folder: Path, names: list[str]) -> Path:
    folder.mkdir()
    for name in names:
        Image.new("RGB", (16, 16), "white" if name.startswith("a") else "black").save(folder / name)
    return folder


def test_the_source_of_the_example_trains(add, tmp_path):
    name = add("source", catalogue.SOURCES, {"Source": catalogue.Source})
    names = [f"{letter}{number}.png" for letter in "ab" for number in range(12)]
    folder = photos(tmp_path / "photos", names)
    (folder / "labels.txt").write_text("\n".join(f"{name} {'white' if name[0] == 'a' else 'black'}" for name in names))
    data = {"source": name, "path": str(folder), "image_size": 16, "test": 4, "validation": 4}
    done = train(tmp_path, data=data, optimizer={"lr": 0.05})
    assert done[-1].row["train/loss"] < done[0].row["train/loss"]


def test_the_network_of_the_example_trains(add, tmp_path):
    name = add("network", table.NETWORKS, {"Network": table.Network})
    folder = photos(tmp_path / "photos", [f"{letter}.{number}.png" for letter in "ab" for number in range(12)])
    data = {"source": "dogs-vs-cats", "path": str(folder), "image_size": 16, "test": 4, "validation": 4}
    done = train(tmp_path, data=data, model={"name": name}, optimizer={"lr": 0.05})
    assert done[-1].row["train/loss"] < done[0].row["train/loss"]


def test_the_task_of_the_example_learns_the_quantile(add, tmp_path):
    name = add("task", catalogue.TASKS, {"Task": catalogue.Task})
    experiment = {"task": name, "data": {"source": "curve"}, "model": {"name": "mlp", "hidden": [32]}}
    train(tmp_path, **experiment, training={"epochs": 10, "batch_size": 32}, optimizer={"name": "adam", "lr": 0.01})
    pack = open_pack(Experiment.model_validate(experiment).data, tmp_path)
    predictor = load_predictor(max((tmp_path / "run" / "checkpoints").glob("epoch-*")), torch.device("cpu"))
    assert 0.8 < (predictor.values(pack.inputs) > pack.values).mean() < 0.97
