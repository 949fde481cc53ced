"""The command lines: what is told without torch, and what scripts get."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from trainers.cli import run, service
from trainers.cli.service import _parser
from trainers.summary import Summary, check_place, write

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = [line.split(" #")[0].strip() for page in PAGES for line in page.read_text().splitlines()]


@pytest.mark.parametrize("line", dict.fromkeys(line for line in LINES if line.startswith("trainers ")))
def test_each_command_of_the_service_in_the_docs_is_understood(line):
    _parser().parse_args(shlex.split(line)[1:])


MISTAKES = [
    (["jobs", "stop"], "jobs stop: name the job's id"),
    (["jobs", "list", "an-id"], "jobs list: takes no id"),
    (["jobs", "halt"], "invalid choice: 'halt'"),
    (["jobs", "--on", "head:8265"], "--on: head:8265 is no URL of a Ray dashboard"),
    (["jobs", "follow", "an-id", "--summary", "/no/such/folder/s.json"], "--summary: no folder /no/such/folder"),
]


@pytest.mark.parametrize(("argv", "told"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(argv, told, capsys):
    assert service(argv) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


@pytest.mark.parametrize("flags", [["--token", "file"], ["--pass-env", "NAME"]])
def test_flags_of_a_cluster_need_one(flags, capsys):
    assert run(str(ROOT / "jobs" / "catsdogs.py"), ["plan", *flags]) == 2
    assert capsys.readouterr().err == f"error: {flags[0]}: goes with --on, which names the cluster\n"


def test_on_imports_neither_torch_nor_ray():
    code = (
        "import sys; from trainers.cli import run; code = run('jobs/catsdogs.py', ['--on', 'http://127.0.0.1:1']); "
        "sys.exit(code * 10 + bool({'torch', 'ray', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 20, done.stderr
    assert re.fullmatch(r"error: http://127.0.0.1:1: nothing answers \(connection refused\); .*\n", done.stderr)


def test_the_summary_is_printed_as_one_line_or_written_as_a_file(tmp_path, capsys):
    summary = Summary(run_id="abc")
    check_place(Path("-"))
    summary.write(Path("-"))
    line = capsys.readouterr().out
    assert line.startswith("summary {")
    assert line.count("\n") == 1
    write(json.loads(line.removeprefix("summary ")), tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["run_id"] == "abc"
