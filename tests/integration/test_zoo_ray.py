"""Two workers on a Ray cluster: every kind of task, in processes of their own."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import Running, ray_cluster, summary_of
from tiny import Tiny

TWO = ("--scale.workers", 2, "--tracking.system-metrics", "false")
SHORT = ("--training.epochs", 2)
PETS = ("--model.weights", "none", "--model.name", "resnet18", "--data.image-size", 32, "--training.batch-size", 16)
PHOTOS = ("--data.source", "folder", "--model.weights", "none", "--data.image-size", 32)


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """The environment in which a job joins a Ray cluster of two cores."""
    with ray_cluster() as (_, address, environment):
        ray = {name: value for name, value in environment.items() if name.startswith("RAY_")}
        yield ray | {"RAY_ADDRESS": address}


@pytest.fixture
def train(call, cluster, tmp_path) -> Callable[..., tuple[Running, dict]]:
    """Trains a job on two workers to its end: the job, and its summary."""

    def train_job(job: str, *arguments: object) -> tuple[Running, dict]:
        done = call(*arguments, *TWO, *SHORT, "--summary", "summary.json", job=job, **cluster)
        return done, summary_of(tmp_path / "summary.json")

    return train_job


def assert_registered(summary: dict, folder: Path) -> None:
    """Two workers made a version that loads and is the model of the checkpoint."""
    from trainers import tracking
    from trainers.tasks import load_predictor

    assert (summary["status"], summary["world_size"]) == ("FINISHED", 2)
    assert summary["metrics"]["test"]
    reference = f"models:/{summary['model']['name']}/{summary['model']['version']}"
    fetched = tracking.fetch(f"sqlite:///{folder}/runs/mlflow.db", reference, folder / "fetched")
    module, trained = load_predictor(fetched).module, load_predictor(Path(summary["checkpoint"])).module
    for value, expected in zip(module.state_dict().values(), trained.state_dict().values(), strict=True):
        assert value.equal(expected)


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        ("mnist", lambda tiny, photos: ("--data.path", tiny.digits)),
        ("cifar10", lambda tiny, photos: ("--preset", "mixup", "--data.path", tiny.things)),
        ("autoencoder", lambda tiny, photos: ("--preset", "conv", "--data.path", tiny.digits)),
        ("gan", lambda tiny, photos: ("--data.path", tiny.digits, "--gan.samples", 64)),
        ("regression", lambda tiny, photos: ()),
        ("catsdogs", lambda tiny, photos: ("--preset", "resnet18", "--data.path", photos, *PHOTOS)),
    ],
    ids=["mnist", "cifar10-mixup", "autoencoder-conv", "gan", "regression", "catsdogs-resnet18"],
)
def test_two_workers_train_and_register_it(train, job, arguments, tiny, photos, tmp_path):
    _, summary = train(job, *arguments(tiny, photos))
    assert_registered(summary, tmp_path)


def test_two_workers_that_unfreeze_layers_end_with_the_same_bits_when_resumed(train, call, cluster, tiny, tmp_path):
    done, summary = train("pets", "--data.path", tiny.pets, *PETS, "--model.unfreeze", 2)
    assert "unfrozen    from epoch 2 on" in done.output
    assert_registered(summary, tmp_path)
    run = Path(summary["checkpoint"]).parents[1]
    last = run / "checkpoints" / "epoch-0002"
    weights = (last / "weights.safetensors").read_bytes()
    shutil.rmtree(last)
    again = call("train", "--resume", run.name, *TWO, job="pets", **cluster)
    assert "goes on after epoch 1" in again.output
    assert (last / "weights.safetensors").read_bytes() == weights


def test_two_workers_find_a_learning_rate(call, cluster, tiny: Tiny):
    done = call("find-lr", "--data.path", tiny.digits, *TWO, "--training.batch-size", 32, job="mnist", **cluster)
    assert "runs on     2 workers" in done.output
    (rate,) = re.findall(r"^suggestion  (\S+), where", done.output, re.MULTILINE)
    assert 1e-5 < float(rate) < 1
