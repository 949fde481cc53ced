"""What the image promises, whoever runs it."""

import json
import re
import shutil

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stack import ROOT, run

pytestmark = pytest.mark.timeout(1200)  # the first build downloads the dependencies

RESTRICTED = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"]


@pytest.fixture(scope="module")
def inside(docker, image):
    """Runs a command in a container that may do nothing and reach nobody; gives what it says."""

    def run_inside(*command: str, fails: bool = False) -> str:
        return run([docker, "run", "--rm", *RESTRICTED, image, *command], fails=fails, seconds=120)

    return run_inside


@pytest.fixture(scope="module")
def facts(docker, image) -> dict:
    return json.loads(run([docker, "image", "inspect", image]))[0]


def test_it_runs_as_a_user_without_rights_on_a_root_file_system_that_is_read_only(inside):
    assert inside("id").startswith("uid=1000(trainers) gid=1000(trainers)")
    assert "read-only" in inside("touch", "/app/x", fails=True).lower()
    code = "import torch, torchvision, ray.train.torch, ray.tune, mlflow.pyfunc, boto3, psycopg2"
    inside("python", "-c", code)


def test_a_job_runs_in_it_without_rights_and_without_a_network(inside):
    said = inside("python", "jobs/spiral.py", "plan", "--storage.path", "/tmp/runs")
    assert "registers   spiral" in said


def test_programs_are_found_by_their_names(inside):
    programs = ("python", "ray", "mlflow", "trainers", "bash", "trainers-mlflow", "trainers-health")
    assert inside("bash", "-c", f"command -v {' '.join(programs)}").count("\n") == len(programs)


def test_dependencies_are_those_of_the_lock(inside):
    code = "import json; from packaging.markers import default_environment as here; print(json.dumps(here()))"
    machine = json.loads(inside("python", "-c", code))
    lines = re.findall(r"^[a-z0-9].*(?= \\$)", (ROOT / "infra/requirements.lock").read_text(), re.MULTILINE)
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(machine)]
    listed = json.loads(inside("python", "-m", "pip", "--disable-pip-version-check", "list", "--format=json"))
    installed = {canonicalize_name(package["name"]): package["version"] for package in listed}
    assert {one.name: installed.get(one.name) for one in wanted if installed.get(one.name) not in one.specifier} == {}
    assert set(installed) - {one.name for one in wanted} == {"pip", "trainers"}


def test_nothing_that_builds_or_was_downloaded_stays(inside):
    assert inside("bash", "-c", "command -v gcc cc g++ make", fails=True) == ""
    assert inside("bash", "-c", "find /tmp /wheels /src /run/secrets -type f 2>/dev/null || true") == ""
    assert inside("ls", "/app").split() == ["jobs"]


def test_its_labels_say_what_it_is(facts):
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in facts["Config"]["Labels"].items()
    }
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)
    assert (labels["title"], labels["version"], labels["licenses"]) == ("trainers", version, "Apache-2.0")
    assert {"description", "revision", "source"} <= set(labels)


def test_it_holds_no_secret(docker, image, facts):
    said = run([docker, "history", "--no-trunc", image]) + json.dumps(facts["Config"])
    assert not re.search(r"BEGIN CERTIFICATE|password|token=|AKIA", said, re.IGNORECASE)
    assert not [line for line in facts["Config"]["Env"] if re.search("PASSWORD|TOKEN|SECRET|KEY|PIP_|CERT", line)]


def test_code_that_changes_leaves_the_layers_of_dependencies_as_they_are(docker, base, image, facts, tmp_path):
    for part in ("trainers", "jobs", "infra"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", ".env"))
    for file in ("pyproject.toml", "README.md", "LICENSE", ".dockerignore"):
        shutil.copy(ROOT / file, tmp_path)
    with (tmp_path / "trainers/__init__.py").open("a") as file:
        file.write('CHANGED = "yes"\n')
    changed = f"{image}-changed"
    run([f"{tmp_path}/infra/build.sh"], TRAINERS_DOCKER=docker, TRAINERS_IMAGE=changed, TRAINERS_PYTHON_BASE=base)
    try:
        answer = run([docker, "run", "--rm", changed, "python", "-c", "import trainers; print(trainers.CHANGED)"])
        layers = json.loads(run([docker, "image", "inspect", changed]))[0]["RootFS"]["Layers"]
    finally:
        run([docker, "image", "rm", changed])
    same = [new for new, old in zip(layers, facts["RootFS"]["Layers"], strict=True) if new == old]
    assert answer.strip() == "yes"
    assert 0 < len(layers) - len(same) <= 2  # the package, and jobs/ which comes after it


def test_health_is_told_by_the_exit_code(inside):
    assert "Connection refused" in inside("trainers-health", "http://127.0.0.1:1/", fails=True)


def test_the_mlflow_server_says_what_it_lacks(inside):
    assert "MLFLOW_BACKEND_STORE_URI" in inside("trainers-mlflow", "migrate", fails=True)
    assert "serve | migrate" in inside("trainers-mlflow", "dance", fails=True)
