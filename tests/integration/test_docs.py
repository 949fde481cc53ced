"""What the README and CONTRIBUTING say can be done, can be done."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from running import ROOT, run_here
from tiny import Tiny

from trainers import config
from trainers.catalogue import SOURCES, TASKS, SourceSpec, TaskSpec
from trainers.cli import VERBS
from trainers.search import check

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
SWEEPS = (ROOT / "docs" / "sweeps.md").read_text()
# The same commands on a few small images, in seconds.
TINY = {
    "SCALE__WORKERS": "0",
    "SCALE__CPUS_PER_WORKER": "1",
    "TRAINING__EPOCHS": "1",
    "MODEL__WEIGHTS": "none",
    "LOG__LEVEL": "warning",
    "TRACKING__SYSTEM_METRICS": "false",
}
QUICK = ("--scale.workers", 0, "--scale.cpus-per-worker", 1, "--training.epochs", 1)
# What needs data of one's own, a cluster, or time; sweeps need Ray.
NOT_EVERYDAY = r"--on\b|--data\.|--storage|workers|imagenet|vgg|--config|--help|\btune\b|\b[A-Z]{3,}\b"


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def job_commands(text: str) -> list[str]:
    return [line for line in commands(text) if line.startswith("python jobs/")]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
JOBS = job_commands(README)


@pytest.mark.parametrize("command", dict.fromkeys(line for page in PAGES for line in job_commands(page.read_text())))
def test_each_job_command_of_the_readme_and_the_docs_is_understood(command, monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr("trainers.cli.job._do", lambda verb, request: done.append(verb))
    monkeypatch.setattr("trainers.remote.send.send", lambda where, command, *given: done.append(command.verb) or 0)
    for find in ("runs.resume.find_run", "sweeps.tune.find_sweep"):
        monkeypatch.setattr(f"trainers.{find}", lambda name, experiment, flags: (name, experiment))
    _, path, *arguments = shlex.split(command)
    assert (ROOT / path).is_file()
    if "--help" not in arguments:  # it would end the process
        run_here(Path(path).stem, *arguments, cwd=tmp_path)
        assert len(done) == 1


def test_the_everyday_commands_of_the_readme_run_one_after_the_other(tmp_path, tiny, monkeypatch):
    everyday = [line for line in JOBS if not re.search(NOT_EVERYDAY, line)]
    assert len(everyday) >= 4
    for command in everyday:
        _, path, *arguments = shlex.split(command)
        job = Path(path).stem
        with monkeypatch.context() as patch:
            for name, value in (TINY | of_job(job, tiny)).items():
                patch.setenv(f"TRAINERS__{name}", value)
            run_here(job, *arguments, cwd=tmp_path)


def of_job(job: str, tiny: Tiny) -> dict[str, str]:
    """Options that make a job quick."""
    return {
        "catsdogs": {"DATA__IMAGE_SIZE": "16"},
        "mnist": {"DATA__PATH": str(tiny.digits)},
        "autoencoder": {"DATA__PATH": str(tiny.digits)},
        "gan": {"DATA__PATH": str(tiny.digits), "GAN__SAMPLES": "64"},
        "cifar10": {"DATA__PATH": str(tiny.things)},
        "pets": {"DATA__PATH": str(tiny.pets), "DATA__IMAGE_SIZE": "32", "TRAINING__BATCH_SIZE": "16"},
    }.get(job, {})


def test_each_job_and_each_preset_has_something_to_search():
    for path in sorted((ROOT / "jobs").glob("*.yaml")):
        for preset in (None, *config.presets(path)):
            check(config.load(path, {}, preset))


def test_each_section_that_the_page_on_sweeps_shows_is_one(tmp_path):
    sections = re.findall(r"```yaml\n(.*?)```", SWEEPS, re.DOTALL)
    assert sections
    for section in sections:
        (tmp_path / "job.yaml").write_text(f"name: shown\n{section}")
        check(config.load(tmp_path / "job.yaml", {}))


def test_the_small_sweep_of_the_page_on_sweeps_runs(call, tmp_path):
    command = next(line for line in job_commands(SWEEPS) if line.startswith("python jobs/spiral.py tune"))
    quick = {"TRAINERS__TRAINING__EPOCHS": "1", "TRAINERS__SEARCH__TRIALS": "2"}
    output = call(*shlex.split(command)[2:], job="spiral", **quick).output
    assert re.search(r"^trial 2/2  #\d  optimizer\.lr \S+  training\.batch_size \d+  accuracy ", output, re.MULTILINE)
    kept = {path.name for path in tmp_path.glob("runs/sweeps/*/*")}
    named = set(re.findall(r"`((?:sweep|best|trials)\.\w+)`", SWEEPS))
    assert named == {"sweep.yaml", "trials.csv", "trials.png", "best.yaml"}
    assert named < kept


def test_the_help_of_a_job_has_every_verb():
    done = subprocess.run([sys.executable, ROOT / "jobs" / "catsdogs.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f"\n  {verb} " in done.stdout for verb in VERBS)


def test_each_make_target_that_is_named_is_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [line.split()[1] for line in commands(README) + commands(CONTRIBUTING) if line.startswith("make ")]
    assert named
    assert set(named) <= set(targets)


def example(text: str, module: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The code of CONTRIBUTING that holds a text, as the module that it would be."""
    (code,) = [code for code in re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL) if text in code]
    made = ModuleType(module)
    exec(compile(code, "CONTRIBUTING.md", "exec"), made.__dict__)  # the example is ours
    monkeypatch.setitem(sys.modules, module, made)
    return made


def entry(name: str, known: dict[str, object]) -> object:
    """The line of CONTRIBUTING that enters a name into a table."""
    (line,) = re.findall(rf'^("{name}": .*),$', CONTRIBUTING, re.MULTILINE)
    scope = dict(known)
    exec(f"table = {{{line}}}", scope)
    return scope["table"][name]


def test_the_example_of_a_source_in_contributing_works(tmp_path, monkeypatch):
    example("def list_labelled", "trainers.data.sources.labelled", monkeypatch)
    monkeypatch.setitem(SOURCES, "labelled", entry("labelled", {"SourceSpec": SourceSpec}))
    (tmp_path / "data").mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8), (number,) * 3).save(tmp_path / "data" / f"{number}.png")
    lines = [f"{number}.png {'cat' if number % 2 else 'dog'}\n" for number in range(40)]
    (tmp_path / "data" / "labels.txt").write_text("".join(lines))
    flags = ("--data.source", "labelled", "--data.path", "data", "--data.image-size", 16, "--training.batch-size", 8)
    output = run_here("catsdogs", "plan", *flags, *QUICK, cwd=tmp_path)
    (train,) = re.findall(r"^  train +(\d+)  cat (\d+), dog (\d+)$", output, re.MULTILINE)
    assert int(train[0]) == int(train[1]) + int(train[2])


def test_the_example_of_a_network_in_contributing_works(tmp_path, tiny, monkeypatch):
    from trainers.models.table import NETWORKS, Network

    made = example("class Tiny", "trainers.models.tiny", monkeypatch)
    monkeypatch.setitem(NETWORKS, "tiny", entry("tiny", {"Network": Network, "Tiny": made.Tiny}))
    output = run_here("mnist", "--model.name", "tiny", "--data.path", tiny.digits, *QUICK, cwd=tmp_path)
    assert "registered  mnist version 1" in output


def test_the_example_of_a_task_in_contributing_works(tmp_path, monkeypatch):
    example("class Quantile", "trainers.tasks.quantile", monkeypatch)
    monkeypatch.setitem(TASKS, "quantile", entry("quantile", {"TaskSpec": TaskSpec}))
    output = run_here("regression", "--task", "quantile", *QUICK, cwd=tmp_path)
    assert "registered  regression version 1" in output
    assert run_here("regression", "predict", "0.5", "--task", "quantile", cwd=tmp_path).startswith("0.5 ")


def test_each_file_that_contributing_names_is_there():
    named = set(re.findall(r"`((?:trainers|jobs|helm|infra|tests)/[\w/.]+?)/?`", CONTRIBUTING))
    examples = {
        "trainers/data/sources/labelled.py",
        "trainers/models/tiny.py",
        "trainers/tasks/quantile.py",
    }  # to be written
    assert len(named) > 30
    real = {path for path in named - examples if "NAME" not in path}
    assert [path for path in sorted(real) if not (ROOT / path).exists()] == []


def test_the_sources_named_in_the_readme_are_those_there_are():
    assert all(f"`{name}`" in README for name in SOURCES)


def test_the_readme_error_is_the_real_one(tmp_path):
    shown = re.search(r"\$ (python .*)\n(error: .*)\n", README)
    _, job, *arguments = shlex.split(shown[1])
    done = subprocess.run([sys.executable, ROOT / job, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == shown[2]
