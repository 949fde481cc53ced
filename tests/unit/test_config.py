"""An experiment is read from a file, the environment and flags; each mistake is told in one line."""

from pathlib import Path

import pytest

from trainers import config
from trainers.errors import RequestError
from trainers.experiment import Experiment


def read(tmp_path: Path, text: str = "", *flags: str) -> Experiment:
    file = tmp_path / "job.yaml"
    file.write_text(text)
    _, tree = config.parse(config.Parser(prog="job"), flags)
    return config.load(file, tree)


def complaints(tmp_path: Path, text: str = "", *flags: str) -> list[str]:
    with pytest.raises(RequestError) as caught:
        read(tmp_path, text, *flags)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path, monkeypatch):
    text = "data: {image_size: 32}\ntraining: {epochs: 3, batch_size: 16}\n"
    monkeypatch.setenv("TRAINERS__DATA__IMAGE_SIZE", "48")
    monkeypatch.setenv("TRAINERS__TRAINING__EPOCHS", "4")
    experiment = read(tmp_path, text, "--data.image-size", "64")
    assert (experiment.data.image_size, experiment.training.epochs, experiment.training.batch_size) == (64, 4, 16)


@pytest.mark.parametrize("flag", ["--data.image-size=72", "--data.image_size=72"])
def test_a_flag_may_be_written_with_dashes_or_underscores(tmp_path, flag):
    assert read(tmp_path, "", flag).data.image_size == 72


def test_values_keep_the_underscores_that_names_of_flags_do_not(tmp_path):
    assert read(tmp_path, "", "--model.weights=my_weights.pt").model.weights == "my_weights.pt"


def test_null_unsets_an_option_and_none_is_a_word(tmp_path):
    experiment = read(
        tmp_path, "training: {micro_batch: 8}", "--training.micro-batch", "null", "--model.weights", "none"
    )
    assert experiment.training.micro_batch is None
    assert experiment.model.weights == "none"


def test_an_unknown_key_is_refused_with_the_nearest_known_one_and_its_place(tmp_path, monkeypatch):
    (line,) = complaints(tmp_path, "data: {imagesize: 3}")
    assert line == f"data.imagesize: no such option ({tmp_path}/job.yaml); did you mean data.image_size?"
    (line,) = complaints(tmp_path, "", "--optimiser.lr", "0.1")
    assert line == "--optimiser.lr: no such option (command line); did you mean --optimizer.lr?"
    monkeypatch.setenv("TRAINERS__SED", "1")
    (line,) = complaints(tmp_path)
    assert line == "TRAINERS__SED: no such option (environment); did you mean TRAINERS__SEED?"


def test_every_mistake_has_a_line_of_its_own(tmp_path):
    lines = complaints(tmp_path, "training: {epochs: many, batch_size: 0}\nmodel: 3\n", "--data.image-size", "4")
    assert len(lines) == 4
    assert any(line.startswith("training.epochs: ") and "'many'" in line and "job.yaml" in line for line in lines)
    assert any(line.startswith("training.batch_size: ") and "greater than or equal to 1" in line for line in lines)
    assert any(line.startswith("model: is a section") for line in lines)
    assert any(line.startswith("data.image_size: ") and "command line" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("data: [", "is not YAML"),
        ("- a\n- b\n", "must hold `key: value` lines, not a list"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(tmp_path, text, cause):
    (line,) = complaints(tmp_path, text)
    assert str(tmp_path) in line
    assert cause in line


def test_a_missing_file_is_named():
    with pytest.raises(RequestError, match=r"nope\.yaml: cannot be read: No such file"):
        config.load(Path("nope.yaml"), {})


def test_options_that_contradict_each_other_are_refused(tmp_path):
    assert complaints(tmp_path, "data: {source: folder}")[0].startswith("data.path: the source `folder` needs")
    assert complaints(tmp_path, "data: {path: photos}")[0].startswith("data.path: the source `sample` is drawn here")
    assert "nesterov" in complaints(tmp_path, "optimizer: {nesterov: true, momentum: 0}")[0]


def test_what_is_saved_with_a_run_reads_back_the_same(tmp_path):
    experiment = read(tmp_path, "name: cats\nschedule: {name: one-cycle}\n", "--training.patience", "3")
    (tmp_path / "saved.yaml").write_text(config.dump_yaml(experiment))
    assert config.load(tmp_path / "saved.yaml", {}) == experiment


def test_every_option_says_what_it_means():
    def walk(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from walk(field.annotation, f"{prefix}{name}.")
            else:
                yield prefix + name, field.description

    undescribed = [name for name, description in walk(Experiment) if not description]
    assert undescribed == []


def test_the_public_options_are_these():
    """Renaming or removing one breaks people's files and scripts: change this list only together with the CHANGELOG."""
    listed = Path(__file__).with_name("options.txt").read_text().split()
    assert list(config.option_names()) == listed
