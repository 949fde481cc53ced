"""What the README and CONTRIBUTING say can be done, can be done."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from running import ROOT, clean_environment

from trainers.cli import _parser, _take_verb
from trainers.config import load, parse
from trainers.experiment import Data

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
# The same commands on a few small images, in seconds.
TINY = {
    "TRAINERS__SCALE__WORKERS": "0",
    "TRAINERS__DATA__IMAGE_SIZE": "16",
    "TRAINERS__TRAINING__EPOCHS": "1",
    "TRAINERS__LOG__LEVEL": "warning",
}


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


JOBS = [line for line in commands(README) if line.startswith("python jobs/")]


@pytest.mark.parametrize("command", JOBS)
def test_each_job_command_of_the_readme_is_understood(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, job, *arguments = shlex.split(command)
    if "--help" in arguments:
        return
    verb = _take_verb(arguments)
    known, flags = parse(_parser(Path(job), verb), arguments)
    load(known.config, flags)


@pytest.mark.timeout(240)
def test_the_everyday_commands_of_the_readme_run_one_after_the_other(tmp_path):
    everyday = [line for line in JOBS if not re.search(r"--data\.|workers", line)]
    assert len(everyday) >= 5
    for command in everyday:
        _, job, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, ROOT / job, *arguments],
            cwd=tmp_path,
            env=clean_environment() | TINY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_each_make_target_that_is_named_is_there():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [line.split()[1] for line in commands(README) + commands(CONTRIBUTING) if line.startswith("make ")]
    assert named
    assert set(named) <= set(targets)


def test_the_example_of_a_source_in_contributing_works(tmp_path):
    from trainers.data.files import open_files

    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    example: dict = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), example)  # the example is ours
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "labels.txt").write_text("a.png cat\nb.png dog\n")
    listing = example["list_labelled"](open_files(str(tmp_path), tmp_path))
    assert listing.classes == ("cat", "dog")
    assert [(item.name, item.label) for item in listing.items] == [("a.png", 0), ("b.png", 1)]


def test_the_sources_named_in_the_readme_are_those_there_are():
    from trainers.data.source import SOURCES

    assert set(SOURCES) == set(Data.model_fields["source"].annotation.__args__)
    assert all(f"`{name}`" in README for name in SOURCES)


def test_the_readme_error_is_the_real_one(tmp_path):
    shown = re.search(r"\$ (python .*)\n(error: .*)\n", README)
    _, job, *arguments = shlex.split(shown[1])
    done = subprocess.run([sys.executable, ROOT / job, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == shown[2]
