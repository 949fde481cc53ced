"""`make up`, and what a person does with it."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from stack import ROOT, Stack, measured, run, status

pytestmark = pytest.mark.timeout(1200)  # the first build downloads the dependencies


def job(stack: Stack, *flags: str) -> list[str]:
    """The command that `make up` told, with more flags."""
    told = re.search(r"train +python (jobs/catsdogs\.py --on \S+ --token \S+)", stack.said)
    assert told, stack.said
    return [sys.executable, *told.group(1).split(), "--scale.workers", "2", *flags]


def runs(stack: Stack) -> dict[str, str]:
    """Name and status of the runs in PostgreSQL."""
    return dict(row.split("|") for row in stack.sql("select name, status from runs"))


@dataclass(frozen=True)
class Trained:
    """What the first training said, and what was registered after it: `name|version` and `alias|version`."""

    said: str
    versions: list[str]
    aliases: list[str]


@pytest.fixture(scope="module")
def trained(stack) -> Trained:
    """A training on two workers, submitted from this host, before any other."""
    begun = time.monotonic()
    said = run(job(stack, "--training.epochs", "2"), seconds=600)
    measured.append(f"a job of 2 epochs on 2 workers took {time.monotonic() - begun:.0f} s")
    return Trained(
        said,
        stack.sql("select name, version from model_versions"),
        stack.sql("select alias, version from registered_model_aliases"),
    )


@pytest.fixture(scope="module")
def name(trained) -> str:
    """The run's name."""
    return re.search(r"^run +(\S+)", trained.said, re.MULTILINE).group(1)


def test_make_up_starts_all_and_tells_what_to_do_next(stack):
    states = [stack.inspect(container, "{{.State.Status}} {{.State.ExitCode}}") for container in stack.containers()]
    assert sorted(states) == ["exited 0"] * 2 + ["running 0"] * 6
    assert f"--on {stack.ray} --token {stack.folder}/ray-token" in stack.said
    assert f"look    {stack.mlflow}" in stack.said
    assert (stack.folder / "ray-token").stat().st_mode & 0o777 == 0o600
    assert not [line for line in stack.said.splitlines() if stack.secret("RAY_TOKEN") in line]


def test_ray_answers_only_to_its_token(stack):
    jobs = f"{stack.ray}/api/jobs/"
    assert status(jobs) == 401
    assert status(jobs, token="wrong") == 403
    assert status(jobs, token=stack.secret("RAY_TOKEN")) == 200


def test_mlflow_answers_only_to_its_password(stack):
    experiments = f"{stack.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(f"{stack.mlflow}/health") == 200
    assert status(experiments) == 401
    assert status(experiments, login="admin:password1234") == 401  # MLflow's own default, once
    assert status(experiments, login=f"admin:{stack.secret('MLFLOW_PASSWORD')}") == 200
    assert status(experiments, login=f"admin:{stack.secret('MLFLOW_PASSWORD')}", host="evil.example") == 403


def test_nothing_listens_beyond_this_host(stack):
    ports = [stack.inspect(container, "{{json .NetworkSettings.Ports}}") for container in stack.containers()]
    assert set(re.findall(r'"HostIp":"([^"]*)"', " ".join(ports))) == {"127.0.0.1"}
    assert len(re.findall(r'"HostPort"', " ".join(ports))) == 2


def test_the_store_wants_its_key(stack):
    code = "import boto3; boto3.client('s3').list_objects_v2(Bucket='trainers')"
    wrong = ["exec", "-T", "--env", "AWS_SECRET_ACCESS_KEY=wrong", "head"]
    assert "SignatureDoesNotMatch" in stack.compose(*wrong, "python", "-c", code, fails=True)


def test_two_workers_train_what_is_submitted_from_outside(stack, trained, name):
    assert "2 workers × 1 CPU" in trained.said
    assert "registered  catsdogs version 1" in trained.said
    assert runs(stack)[name] == "FINISHED"
    assert trained.versions == ["catsdogs|1"]
    assert trained.aliases == ["champion|1"]


def test_checkpoints_and_artifacts_lie_in_the_store(stack, name):
    kept = stack.keys(f"runs/training/{name}/checkpoints/")
    assert any(key.endswith("/weights.safetensors") for key in kept)
    assert any(key.endswith("/manifest.json") for key in kept)
    assert any(key.endswith("/weights.safetensors") for key in stack.keys("artifacts/"))


@pytest.mark.usefixtures("trained")
def test_the_model_predicts_in_another_container(stack):
    picture = "/cache/data/sample/test/dog.1122.jpg"
    predict = ["python", "jobs/catsdogs.py", "predict", "--from", "models:/catsdogs@champion", "--json", picture]
    assert f'"image": "{picture}", "label": ' in stack.compose("run", "--rm", "-T", "--no-deps", "worker", *predict)


@pytest.mark.usefixtures("trained")
def test_a_worker_that_is_killed_costs_no_run_and_comes_back(stack):
    command = job(stack, "--training.epochs", "4")
    said, killed = [], False
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            said.append(line)
            if line.startswith("epoch 1/4") and not killed:
                killed = True
                stack.compose("exec", "--detach", "--index", "2", "worker", "bash", "-c", "kill -9 -1")
    text = "".join(said)
    assert process.returncode == 0, text
    assert killed
    assert "a worker was lost" in text
    assert runs(stack)[re.search(r"^run +(\S+)", text, re.MULTILINE).group(1)] == "FINISHED"
    assert len(runs(stack)) == 2  # it went on as the same run
    stack.compose("up", "--detach", "--wait", "--no-recreate")  # waits until all are healthy
    restarts = [int(stack.inspect(container, "{{.RestartCount}}")) for container in stack.containers()]
    assert sum(restarts) == 1


def test_data_outlives_the_stack_and_every_secret_can_be_changed(stack, name):
    token, password = stack.secret("RAY_TOKEN"), stack.secret("MLFLOW_PASSWORD")
    secrets = stack.folder / ".env"
    secrets.unlink()
    run(["infra/secrets.sh", str(secrets)])
    stack.sql(f"alter role mlflow password '{stack.secret('DATABASE_PASSWORD')}'")
    stack.make("down")
    assert stack.containers() == []
    stack.make("up")
    assert runs(stack)[name] == "FINISHED"
    assert stack.keys(f"runs/training/{name}/checkpoints/")
    champion = f"{stack.mlflow}/api/2.0/mlflow/registered-models/alias?name=catsdogs&alias=champion"
    assert status(champion, login=f"admin:{stack.secret('MLFLOW_PASSWORD')}") == 200
    assert status(champion, login=f"admin:{password}") == 401
    assert status(f"{stack.ray}/api/jobs/", token=token) == 403
