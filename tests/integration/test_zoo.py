"""Every job and every preset: trained, registered, resumed to the same bits, loaded by MLflow, evaluated, predicted."""

import csv
import math
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from running import JOBS, run_here, summary_of
from tiny import Tiny

from trainers import config

EPOCHS = 2
QUICK = ("--scale.workers", 0, "--scale.cpus-per-worker", 1, "--tracking.system-metrics", "false")
# Networks that know nothing, on smaller images than the recipe's.
FRESH = ("--model.weights", "none")
PETS = (*FRESH, "--data.image-size", 32, "--training.batch-size", 16)
PHOTOS = ("--data.source", "folder", "--training.batch-size", 32)
# The VGGs' 500 MB are too much to be written several times over; an AlexNet has the same layers at its end.
NO_VGG = (*PHOTOS, *FRESH, "--model.name", "alexnet", "--data.image-size", 64)
GAN = ("--gan.samples", 64)


@dataclass(frozen=True)
class Recipe:
    """A job with one of its presets, made quick by flags.

    Args:
        given: what its registered model is given: digit, thing, pet or photo; numbers; a seed.
    """

    job: str
    preset: str | None
    given: str
    flags: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.job}-{self.preset}" if self.preset else self.job


RECIPES = (
    Recipe("mnist", None, "digit"),
    Recipe("mnist", "mlp", "digit"),
    Recipe("mnist", "fashion", "digit"),
    Recipe("cifar10", None, "thing"),
    Recipe("cifar10", "resnet20", "thing"),
    Recipe("cifar10", "vgg16", "thing", ("--optimizer.lr", 0.001)),  # the recipe's wants more than two epochs
    Recipe("cifar10", "mixup", "thing"),
    Recipe("pets", None, "pet", (*PETS, "--model.unfreeze", EPOCHS)),
    Recipe("pets", "resnet50", "pet", (*PETS, "--model.unfreeze", EPOCHS)),
    Recipe("pets", "scratch", "pet", PETS),
    Recipe("autoencoder", None, "digit"),
    Recipe("autoencoder", "conv", "digit"),
    Recipe("gan", None, "seed", GAN),
    Recipe("gan", "least-squares", "seed", GAN),
    Recipe("gan", "mlp", "seed", GAN),
    Recipe("regression", None, "0.5"),
    Recipe("regression", "linear", "-0.5"),
    Recipe("spiral", None, "0.5,0.5"),
    Recipe("spiral", "linear", "-0.5,0.5"),
    Recipe("catsdogs", None, "photo", (*PHOTOS, "--data.image-size", 16)),
    Recipe("catsdogs", "scratch", "photo", (*PHOTOS, "--data.image-size", 16)),
    Recipe("catsdogs", "squeezenet", "photo", (*PHOTOS, *FRESH, "--data.image-size", 32)),
    Recipe("catsdogs", "features", "photo", (*PHOTOS, *FRESH, "--data.image-size", 32)),
    Recipe("catsdogs", "resnet18", "photo", (*PHOTOS, *FRESH, "--data.image-size", 32)),
    Recipe("catsdogs", "vgg16", "photo", NO_VGG),
    Recipe("catsdogs", "vgg19", "photo", NO_VGG),
    Recipe("catsdogs", "vgg16-light", "photo", NO_VGG),
)
COMPARISONS = (("mnist", "three-mlps"), ("spiral", "compare"))
VGGS = ("vgg16", "vgg19", "vgg16-light")


def data_flags(job: str, tiny: Tiny, photos: Path) -> tuple[object, ...]:
    """Where the data of a job lies."""
    path = {
        "mnist": tiny.digits,
        "autoencoder": tiny.digits,
        "gan": tiny.digits,
        "cifar10": tiny.things,
        "pets": tiny.pets,
        "catsdogs": photos,
    }.get(job)
    return ("--data.path", path) if path else ()


def client_of(storage: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{storage}/mlflow.db")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder in which all jobs run: one storage, and so one classifier for the GANs."""
    return tmp_path_factory.mktemp("zoo")


class Trained:
    """A recipe that has been trained, and the flags that its other verbs need."""

    def __init__(self, recipe: Recipe, flags: tuple[object, ...], inputs: list[str], place: Path) -> None:
        preset = ("--preset", recipe.preset) if recipe.preset else ()
        self.recipe, self.inputs, self.place = recipe, inputs, place
        self.flags = (*preset, *flags, *QUICK, "--tracking.model", str(recipe), "--tracking.experiment", str(recipe))
        self.output, self.summary = self.call("train", "--training.epochs", EPOCHS)
        self.run = Path(self.summary["checkpoint"]).parents[1]

    def call(self, verb: str, *arguments: object, flags: bool = True) -> tuple[str, dict]:
        """Runs a verb: what it printed, and its summary."""
        given = (*arguments, *(self.flags if flags else QUICK), "--summary", "summary.json")
        output = run_here(self.recipe.job, verb, *given, cwd=self.place)
        return output, summary_of(self.place / "summary.json")

    @property
    def losses(self) -> set[tuple[int, float]]:
        """The training losses that MLflow has, by epoch; of a GAN the generator's."""
        name = "train/generator_loss" if self.recipe.job == "gan" else "train/loss"
        history = client_of(self.place / "runs").get_metric_history(self.summary["run_id"], name)
        return {(metric.step, metric.value) for metric in history}


@pytest.fixture(scope="module", params=RECIPES, ids=str)
def trained(request, place, tiny, photos) -> Trained:
    recipe = request.param
    images = {"digit": tiny.digit, "thing": tiny.thing, "pet": tiny.pet, "photo": photos / "dark" / "000.png"}
    inputs = [str(images.get(recipe.given, recipe.given))] if recipe.given != "seed" else ["3"]
    return Trained(recipe, (*data_flags(recipe.job, tiny, photos), *recipe.flags), inputs, place)


def test_it_is_trained_tested_and_registered(trained):
    summary = trained.summary
    assert summary["status"] == "FINISHED"
    assert summary["model"] == {"name": str(trained.recipe), "version": "1", "alias": "champion"}
    assert summary["world_size"] == 1
    for split in ("train", "validation", "test"):
        assert summary["metrics"][split], split
        assert all(math.isfinite(value) for value in summary["metrics"][split].values())
    assert {epoch for epoch, _ in trained.losses} == {1, 2}
    assert trained.output.count("\nepoch ") >= EPOCHS
    pictures = {path.name for path in (trained.run / "pictures").iterdir()}
    assert {"curves.png"} < pictures
    if trained.recipe.job == "gan":
        assert len(list((trained.place / "runs" / "classifiers").iterdir())) == 1, "trained once for all"


def test_resumed_after_the_last_checkpoint_was_lost_it_ends_with_the_same_bits_and_the_same_run(trained):
    last = trained.run / "checkpoints" / f"epoch-{EPOCHS:04d}"
    weights, losses = (last / "weights.safetensors").read_bytes(), trained.losses
    shutil.rmtree(last)
    output, summary = trained.call("train", "--resume", trained.run.name, flags=False)
    assert "goes on after epoch 1" in output
    assert (last / "weights.safetensors").read_bytes() == weights
    assert summary["run_id"] == trained.summary["run_id"]
    assert summary["metrics"] == trained.summary["metrics"]
    assert trained.losses == losses
    assert client_of(trained.place / "runs").get_run(summary["run_id"]).info.status == "FINISHED"


def test_its_registered_model_answers_in_mlflow_without_pickle(trained, monkeypatch):
    import mlflow
    import pandas as pd

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained.place}/runs/mlflow.db")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    model = mlflow.pyfunc.load_model(f"models:/{trained.recipe}/1")
    kind, given = trained.recipe.given, trained.inputs[0]
    if kind == "seed":
        answers = model.predict(pd.DataFrame({"seed": [3, 4]}))
        images = [np.asarray(Image.open(BytesIO(content))) for content in answers["image"]]
        assert [image.shape for image in images] == [(28, 28)] * 2
        assert not np.array_equal(*images)
    elif Path(given).is_file():
        answers = model.predict(pd.DataFrame({"path": [given]}))
    else:
        answers = model.predict(pd.DataFrame({"values": [[float(number) for number in given.split(",")]]}))
    assert answers["error"].tolist() == [None] * len(answers)
    if "label" in answers:
        classes = client_of(trained.place / "runs").get_model_version(str(trained.recipe), "1").tags["classes"]
        assert answers["label"][0] in classes.split(",")
        assert sum(answers["probabilities"][0]) == pytest.approx(1, abs=1e-5)
    elif "mse" in answers:
        assert answers["mse"][0] > 0
        assert len(answers["latent"][0]) == 32
    elif "values" in answers:
        assert len(answers["values"][0]) == 1


def test_evaluate_repeats_its_test_metrics_and_predict_answers(trained):
    _, summary = trained.call("evaluate")
    found, expected = summary["metrics"]["test"], trained.summary["metrics"]["test"]
    if trained.recipe.job == "gan":  # other samples, so other numbers
        assert set(found) == set(expected)
        assert all(math.isfinite(value) for value in found.values())
    else:
        assert found == {name: pytest.approx(expected[name], abs=1e-5) for name in found}
        assert found
    output, summary = trained.call("predict", *trained.inputs)
    assert summary["status"] == "FINISHED"
    if trained.recipe.job == "gan":
        assert Path(output.split(" samples ", 1)[1].strip()).is_file()
    else:
        assert output.strip().startswith(trained.inputs[0])


@pytest.mark.parametrize("preset", VGGS)
def test_a_vgg_as_large_as_it_is_can_be_planned(preset, place, photos):
    output = run_here("catsdogs", "plan", "--preset", preset, *PHOTOS, "--data.path", photos, *FRESH, *QUICK, cwd=place)
    assert "model       vgg1" in output
    assert "of them trained" in output, "the head alone"


@pytest.mark.parametrize(("job", "preset"), COMPARISONS)
def test_a_comparison_trains_each_value_and_records_a_table_and_a_picture(job, preset, call, tmp_path, tiny, photos):
    flags = ("--preset", preset, *data_flags(job, tiny, photos), *QUICK, "--training.epochs", EPOCHS)
    output = call("tune", *flags, "--summary", "summary.json", job=job).output
    ((option, values),) = config.load(JOBS / f"{job}.yaml", {}, preset).search.space.items()
    summary, client = summary_of(tmp_path / "summary.json"), client_of(tmp_path / "runs")
    best = client.get_run(summary["run_id"])
    parent = client.get_run(best.data.tags["mlflow.parentRunId"])
    assert (summary["status"], parent.info.status) == ("FINISHED", "FINISHED")
    found = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"comparison.csv", "comparison.png"} <= found
    children = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {child.data.params[option] for child in children} == set(values.grid)
    assert {child.info.status for child in children} == {"FINISHED"}
    table = Path(client.download_artifacts(parent.info.run_id, "comparison.csv"))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row[option] for row in rows] == values.grid
    for row, value in zip(rows, values.grid, strict=True):
        (line,) = [line for line in output.splitlines() if line.startswith(f"{value} ")]
        assert f"{float(row['test accuracy']):.4f}" in line
    worth = {row[option]: float(row["test accuracy"]) for row in rows}
    assert worth[best.data.params[option]] == summary["metrics"]["test"]["accuracy"]


def test_the_tables_have_every_job_and_every_preset():
    there = {(path.stem, preset) for path in JOBS.glob("*.yaml") for preset in (None, *config.presets(path))}
    assert there == {(recipe.job, recipe.preset) for recipe in RECIPES} | set(COMPARISONS)
    assert {path.stem for path in JOBS.glob("*.py")} == {job for job, _ in there}
