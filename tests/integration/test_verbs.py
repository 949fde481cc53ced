"""`find-lr`, `export`, and requests that cannot be done, on tiny data."""

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from running import JOBS, run_here, summary_of

from trainers import config

QUICK = ("--scale.workers", 0, "--scale.cpus-per-worker", 1, "--tracking.system-metrics", "false")
DIGITS = ("--training.batch-size", 32)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The folder in which all jobs of this module run."""
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def fitted(place) -> None:
    """A regression has been trained there."""
    run_here("regression", *QUICK, "--training.epochs", 1, cwd=place)


def test_find_lr_draws_a_picture_and_a_table_and_suggests_a_rate(place, tiny):
    flags = ("--data.path", tiny.digits, *QUICK, *DIGITS, "--summary", "summary.json")
    output = run_here("mnist", "find-lr", *flags, cwd=place)
    (rate,) = re.findall(r"^suggestion  (\S+), where the loss falls most steeply$", output, re.MULTILINE)
    assert 1e-5 < float(rate) < 1
    assert f"mnist.py train --optimizer.lr {rate}" in output
    (picture,) = re.findall(r"^picture     (.+)$", output, re.MULTILINE)
    with Image.open(picture) as image:
        assert min(image.size) > 100
    rows = list(csv.DictReader((Path(picture).parent / "rates.csv").open()))
    assert list(rows[0]) == ["lr", "loss", "smoothed"]
    assert float(rows[0]["lr"]) == pytest.approx(1e-7)
    assert 5 <= len([line for line in output.splitlines() if re.match(r"  +\d\.\d\de[-+]\d\d +\d", line)]) <= 25
    summary = summary_of(place / "summary.json")
    assert (summary["status"], summary["run_id"], summary["model"]["version"]) == ("FINISHED", None, None)


def test_find_lr_suggests_none_where_nothing_is_learnt(place, tiny):
    flags = ("--data.path", tiny.digits, *QUICK, *DIGITS, "--low", "1e-12", "--high", "1e-11")
    output = run_here("mnist", "find-lr", *flags, cwd=place)
    assert "suggestion  none: the loss does not fall anywhere" in output
    assert "picture     " in output


def test_export_gives_weights_and_a_program_that_answer_as_the_model(fitted, place):
    output = run_here("regression", "export", "--to", "exported", cwd=place)
    folder = place / "exported"
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json", "program.pt2"}
    assert json.loads((folder / "model.json").read_text())["task"] == "regression"
    assert "checked     loaded back" in output
    predicted = [
        run_here("regression", "predict", "0.25", *source, cwd=place) for source in ((), ("--from", "exported"))
    ]
    assert predicted[0] == predicted[1]
    again = run_here("regression", "export", "--to", "exported", cwd=place, code=2)
    assert again == "error: --to: exported is there already; name a new folder\n"


@pytest.mark.parametrize(
    ("job", "arguments", "message"),
    [
        ("mnist", ["--preset", "deep"], "--preset: no preset `deep` in "),
        ("mnist", ["--model.name", "resnet18"], "rgb"),
        ("mnist", ["--training.loss", "nll"], "training.loss: nll wants log-probabilities: set model.output"),
        ("mnist", ["--model.freeze", "nolayer"], "model.freeze: no layer `nolayer`"),
        ("mnist", ["--model.remove", "nolayer"], "model.remove: no layer `nolayer`"),
        ("mnist", ["--model.freeze-groups", 99], "nothing is left to train"),
        (
            "mnist",
            ["--model.name", "linear_mlp", "--model.dropout", 0.5],
            "model.dropout: linear_mlp has no dropout layer",
        ),
        ("mnist", ["--model.unfreeze", 2], "model.unfreeze: nothing is frozen"),
        ("mnist", ["--training.best", "frechet"], "training.best: frechet is not for classification"),
        ("mnist", ["find-lr", "--low", 1, "--high", 0.1], "0 < low < high"),
        ("gan", ["find-lr"], "find-lr: is for tasks with one optimiser"),
        ("autoencoder", ["--data.normalise", "imagenet"], "data.normalise: autoencoding needs unit"),
        ("spiral", ["--model.name", "cnn"], "model.name: "),
        ("regression", ["--data.path", "."], "data.path: "),
        (
            "regression",
            ["tune", "--search.space", '{"model.nme": {"grid": ["mlp", "linear"]}}'],
            "did you mean model.name?",
        ),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value)[:40],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(job, arguments, message, place, tiny):
    data = ["--data.path", tiny.digits] if job in ("mnist", "autoencoder", "gan") else []
    assert message in refused(job, *arguments, *data, *QUICK, cwd=place)


def test_an_unknown_preset_is_told_with_those_there_are(place):
    error = refused("mnist", "--preset", "three-mlp", cwd=place)
    for preset in config.presets(JOBS / "mnist.yaml"):
        assert preset in error
    assert error.endswith("did you mean three-mlps?")


def test_the_last_layer_cannot_be_removed(place, tiny, photos):
    flags = ("--data.source", "folder", "--data.path", photos, "--data.image-size", 16)
    error = refused("catsdogs", *flags, "--model.remove", "classifier.6", *QUICK, cwd=place)
    assert "model.remove: classifier.6 has the last layer" in error


@pytest.mark.parametrize("source", ["mnist", "fashion-mnist", "cifar10", "oxford-pets"])
def test_without_a_download_it_is_said_which_files_to_put_where(source, place):
    job = {"cifar10": "cifar10", "oxford-pets": "pets"}.get(source, "mnist")
    error = refused(job, "--data.source", source, "--data.download", "false", *QUICK, cwd=place)
    assert f"data.path: {source} is not whole in {place}/runs/data/{source}" in error
    assert "data.download is false" in error
    assert re.search(r"put there the files of http\S+\.gz", error)


def test_a_regression_predicts_from_numbers_alone(fitted, place):
    assert refused("regression", "predict", "word", cwd=place).startswith("error: predict: word is not numbers")
    output = run_here("regression", "predict", "0.5", "1,2", cwd=place, code=1)
    assert [line.split()[0] for line in output.splitlines()] == ["0.5", "1,2", "error:"]
    assert "unreadable: not a list of 1 numbers" in output


def test_a_gan_predicts_from_a_seed_alone(place, tiny):
    run_here("gan", "--data.path", tiny.digits, *QUICK, "--training.epochs", 1, "--gan.samples", 64, cwd=place)
    error = refused("gan", "predict", tiny.digit, cwd=place)
    assert error == "error: predict: a GAN takes no images; give a seed (a whole number) or nothing"


def refused(job: str, *arguments: object, cwd: Path) -> str:
    """The one line by which a request is refused."""
    output = run_here(job, *arguments, cwd=cwd, code=2)
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in output
    return error
