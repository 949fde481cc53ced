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


@pytest.mark.parametrize(("value", "widths"), [("32,16", [32, 16]), ("[32, 16]", [32, 16]), ("32", [32]), ("[]", [])])
def test_a_list_is_written_the_same_in_flags_and_environment(tmp_path, monkeypatch, value, widths):
    assert read(tmp_path, "", "--model.hidden", value).model.hidden == widths
    monkeypatch.setenv("TRAINERS__MODEL__HIDDEN", value)
    assert read(tmp_path, "model: {hidden: [9, 9, 9]}").model.hidden == widths


def test_a_list_or_a_space_replaces_the_one_of_the_file(tmp_path):
    text = "model: {remove: [a, b, c]}\nsearch: {space: {model.name: {grid: [mlp, simple_cnn]}}}\n"
    flags = ("--model.remove", "d,5", '--search.space={"optimizer.lr": {"choice": [0.1, 0.2]}}')
    experiment = read(tmp_path, text, *flags)
    assert experiment.model.remove == ["d", "5"]
    assert list(experiment.search.space) == ["optimizer.lr"]


def test_a_space_is_recorded_as_one_value(tmp_path):
    tree = read(tmp_path, "search: {space: {model.name: {grid: [mlp, simple_cnn]}}}").model_dump()
    flat = config.flatten(tree)
    assert flat["search.space"] == {"model.name": {"grid": ["mlp", "simple_cnn"]}}
    assert list(flat) == list(config.option_names())


def test_an_experiment_that_was_saved_when_compare_was_an_option_can_be_read(tmp_path):
    assert read(tmp_path, "name: old\ncompare: {}\n").name == "old"
    (line,) = complaints(tmp_path, "compare: {model.name: [mlp, cnn]}")
    assert line.startswith("compare: is done by tune: search: {space: {")


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


def test_a_wrong_element_of_a_list_is_told_with_its_place(tmp_path, monkeypatch):
    (line,) = complaints(tmp_path, "", "--schedule.milestones", "3,x")
    assert line.startswith("schedule.milestones.1: input should be a valid integer")
    assert line.endswith("not 'x' (command line)")
    monkeypatch.setenv("TRAINERS__MODEL__HIDDEN", "0")
    assert complaints(tmp_path)[0].endswith("not 0 (environment)")


@pytest.mark.parametrize(("option", "value"), [("search.space", "model.name=mlp,cnn"), ("model.hidden", "[32,")])
def test_what_is_no_list_or_mapping_is_told_with_its_place(tmp_path, monkeypatch, option, value):
    (line,) = complaints(tmp_path, "", f"--{option}", value)
    assert line.startswith(f"{option}: cannot be read (command line)")
    monkeypatch.setenv("TRAINERS__" + option.replace(".", "__").upper(), value)
    assert complaints(tmp_path)[0].startswith(f"{option}: cannot be read (environment)")


def test_an_option_set_to_nothing_is_told_with_its_place(tmp_path):
    assert complaints(tmp_path, "training: {epochs: null}")[0].endswith(f"not None ({tmp_path}/job.yaml)")


@pytest.mark.parametrize(
    ("text", "cause"), [("data: [", "is not YAML"), ("- a\n- b\n", "must hold `key: value` lines, not a list")]
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
    assert complaints(tmp_path, "data: {path: photos}")[0].startswith("data.path: the source `sample` is made here")
    assert "nesterov" in complaints(tmp_path, "optimizer: {nesterov: true, momentum: 0}")[0]


PRESETS = """
model: {name: mlp, hidden: [64, 64, 64]}
training: {epochs: 3}
optimizer: {lr: 0.5}
presets:
  small:
    about: one narrow layer
    model: {hidden: [8]}
    training: {epochs: 7}
    optimizer: {lr: 0.25}
  plain: {}
"""


def test_a_preset_wins_over_the_file_and_loses_to_the_environment_and_flags(tmp_path, monkeypatch):
    file = tmp_path / "job.yaml"
    file.write_text(PRESETS)
    monkeypatch.setenv("TRAINERS__TRAINING__EPOCHS", "9")
    experiment = config.load(file, {"optimizer": {"lr": 0.125}}, "small")
    assert (experiment.model.name, experiment.model.hidden) == ("mlp", [8])
    assert (experiment.training.epochs, experiment.optimizer.lr) == (9, 0.125)
    assert config.load(file, {}).model.hidden == [64, 64, 64]


def test_a_file_lists_its_presets(tmp_path):
    (tmp_path / "job.yaml").write_text(PRESETS)
    assert config.presets(tmp_path / "job.yaml") == {"small": "one narrow layer", "plain": ""}


def test_an_unknown_preset_is_told_with_those_there_are(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(PRESETS)
    with pytest.raises(RequestError) as caught:
        config.load(file, {}, "smal")
    assert str(caught.value) == f"--preset: no preset `smal` in {file}; there are small, plain; did you mean small?"
    file.write_text("seed: 1")
    with pytest.raises(RequestError, match=r"^--preset: .*job\.yaml has no presets$"):
        config.load(file, {}, "small")


def test_a_mistake_in_a_preset_is_told_though_it_is_not_used(tmp_path):
    text = """
    presets:
      deep: {model: {nam: vgg16, hidden: [0]}, about: 3}
      wide: {model: 3}
      flat: mlp
      good: {training: {loss: nll}}  # goes with options that the file or flags set
    """
    where = f"({tmp_path}/job.yaml)"
    assert complaints(tmp_path, text) == [
        f"presets.deep.about: input should be a line of text, not 3 {where}",
        f"presets.deep.model.hidden.0: input should be greater than or equal to 1, not 0 {where}",
        f"presets.deep.model.nam: no such option {where}; did you mean model.name?",
        f"presets.wide.model: is a section, `model: {{option: value}}`, not 3 {where}",
        f"presets.flat: is a section, `flat: {{option: value}}`, not 'mlp' {where}",
    ]
    (line,) = complaints(tmp_path, "presets: [deep]")
    assert line.startswith("presets: is a mapping")
    (line,) = complaints(tmp_path, "preset: {deep: {seed: 1}}")
    assert line.endswith("did you mean presets?")


def test_a_rule_between_options_holds_for_a_preset_that_is_used(tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("presets: {log: {training: {loss: nll}}}")
    with pytest.raises(RequestError, match=r"^training\.loss: nll wants"):
        config.load(file, {}, "log")
    assert config.load(file, {"model": {"output": "log-softmax"}}, "log").loss == "nll"


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
