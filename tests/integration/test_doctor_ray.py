"""The doctor as people call it: here, and of a cluster that asks for a token."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import clean_environment, ray_cluster

TRAINERS = Path(sys.executable).with_name("trainers")
TOKEN = "0123456789abcdef" * 4


def call(*arguments: object, code: int, **environment: str) -> str:
    done = subprocess.run(
        [TRAINERS, "doctor", *map(str, arguments)],
        env=clean_environment() | environment, capture_output=True, text=True,
    )  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == code, output
    assert "Traceback" not in output
    return output


@pytest.fixture(scope="module")
def head():
    """The dashboard of a cluster of one node, on which `trainers` is on the PATH as it is in the image."""
    path = f"{TRAINERS.parent}:{os.environ['PATH']}"
    with ray_cluster(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, PATH=path) as (dashboard, _, _):
        yield dashboard


def test_all_is_well_here(tmp_path):
    output = call("--storage", tmp_path, code=0)
    assert "problem" not in output
    assert f"storage      {tmp_path}, written and read in" in output


def test_a_wrong_storage_and_a_server_that_is_away_are_problems(tmp_path):
    (tmp_path / "file").write_text("")
    login = {"MLFLOW_TRACKING_URI": "http://me:secret@127.0.0.1:9"}
    output = call("--storage", tmp_path / "file", code=1, **login)
    assert re.findall(r"^problem +(\w+)", output, re.MULTILINE) == ["storage", "tracking"]
    assert "secret" not in output


def test_a_cluster_is_asked_and_shown_beside_this_machine(head, tmp_path):
    output = call("--on", head, "--storage", tmp_path, code=0, RAY_AUTH_TOKEN=TOKEN)
    assert re.search(r"^ok +Ray +(\S+) +\1$", output, re.MULTILINE)
    assert re.search(r"^ok +cluster +1 node of 2 cores$", output, re.MULTILINE)
    assert re.search(r"^ok +token +Ray asks for it$", output, re.MULTILINE)
    assert TOKEN not in output


def test_a_problem_there_is_exit_code_1(head):
    output = call("--on", head, "--storage", "/proc/none", code=1, RAY_AUTH_TOKEN=TOKEN)
    assert re.search(r"^problem +storage +/proc/none$", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("token", "told"), [({}, "wants a token"), ({"RAY_AUTH_TOKEN": "f" * 64}, "refuses the token")]
)
def test_a_cluster_that_does_not_let_us_in_is_told_in_a_line(head, tmp_path, token, told):
    output = call("--on", head, code=2, HOME=str(tmp_path), **token)
    assert len(output.splitlines()) == 1
    assert told in output


def test_a_cluster_that_is_away_is_told_in_a_line():
    output = call("--on", "http://127.0.0.1:9", code=2)
    assert len(output.splitlines()) == 1
    assert output.startswith("error: ")
    assert "nothing answers" in output
