"""The chart fits the image: what it renders is run from the built image under Docker, walled in as in a cluster."""

import json
import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from in_docker import Host, Running
from rendered import CHART, Object, named, objects_with, of_kind, pods, variables

STANDINS = CHART.parents[1] / "tests" / "docker" / "standins"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def image(docker, need) -> str:
    """The service's image, built before."""
    name = os.environ.get("TRAINERS_IMAGE", "trainers:0.1.0")
    known = subprocess.run([docker, "image", "inspect", name], capture_output=True).returncode == 0
    need("image", known, f"there is no image {name} (make image)")
    return name


def standin(docker: str, name: str, folder: Path, *files: str) -> str:
    """Builds what stands in for an image that cannot be pulled; its layers may be there already."""
    for file in files:
        shutil.copy(file, folder)
    base = os.environ.get("TRAINERS_PYTHON_BASE", "python:3.11-slim-bookworm")
    command = [docker, "build", "--quiet", "--tag", f"trainers-chart-{name}", "--build-arg", f"BASE={base}"]
    command += ["--file", str(STANDINS / f"{name}.Dockerfile"), str(folder)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert answer.returncode == 0, answer.stderr
    return f"trainers-chart-{name}"


@pytest.fixture(scope="module")
def rendered(helms, image) -> list[Object]:
    """The chart as kind gets it, but for the image."""
    repository, _, tag = image.rpartition(":")
    values = {"image": {"repository": repository, "tag": tag}}
    return objects_with(helms[0], values, "values-kind.yaml")


@pytest.fixture(scope="module")
def host(docker, versitygw, rendered, tmp_path_factory) -> Iterator[Host]:
    secrets = {each["metadata"]["name"]: each["stringData"] for each in of_kind(rendered, "Secret")}
    postgres = standin(docker, "postgres", tmp_path_factory.mktemp("postgres"), str(STANDINS / "postgres.sh"))
    store = standin(docker, "s3", tmp_path_factory.mktemp("s3"), versitygw)
    images = {"docker.io/library/postgres:17-bookworm": postgres, "docker.io/versity/versitygw:v1.7.0": store}
    host = Host(docker, f"trainers-chart-{os.getpid()}", secrets, images)
    try:
        yield host
    finally:
        host.remove()
        for name in images.values():
            host.docker("image", "rm", name, check=False)


def the_pod(rendered: list[Object], name: str) -> Object:
    (pod,) = (each for each in pods(rendered) if each["metadata"]["name"] == name)
    return pod


def start(host: Host, rendered: list[Object], name: str, *aliases: str) -> Running:
    """Starts a pod: what comes first, each to its end, then its one server, until it is ready."""
    pod = the_pod(rendered, name)
    for container in pod["spec"].get("initContainers", []):
        code, log = host.start(pod, container).end()
        assert code == 0, log
    running = host.start(pod, pod["spec"]["containers"][0], *aliases)
    if "startupProbe" in pod["spec"]["containers"][0]:
        running.wait_until_ready()
    return running


@pytest.fixture(scope="module")
def mlflow(host, rendered) -> Running:
    start(host, rendered, "trial-storage", "trial-storage")
    start(host, rendered, "trial-database", "trial-database")
    return start(host, rendered, "trial-mlflow", "trial-mlflow")


@pytest.fixture(scope="module")
def head(host, rendered, mlflow) -> Running:
    # The operator's service of the head.
    return start(host, rendered, "trial-head-headgroup", "trial-head-svc", "trial-head-svc.vision.svc.cluster.local")


@pytest.fixture(scope="module")
def worker(host, rendered, head) -> Running:
    return start(host, rendered, "trial-worker-cpu")


def password(rendered: list[Object]) -> str:
    secret = named(rendered, "Secret", "trial-mlflow")["stringData"]
    return "Basic " + b64encode(f"{secret['username']}:{secret['password']}".encode()).decode()


def jobs(head: Running) -> dict[str, Any]:
    """The status of each job, by its submission id."""
    code = "from ray.job_submission import JobSubmissionClient as C; import json;"
    code += "print(json.dumps({j.submission_id: j.status for j in C('http://127.0.0.1:8265').list_jobs()}))"
    return json.loads(head.run("python", "-c", code).splitlines()[-1])


def test_mlflow_serves_after_its_migration_and_asks_for_a_password(mlflow, rendered):
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    host = {"Host": "trial-mlflow:5000"}
    assert mlflow.get(5000, path, **host) == 401
    assert mlflow.get(5000, path, **host, Authorization=password(rendered)) == 200
    # A name that nobody allowed, as in an attack by DNS.
    assert mlflow.get(5000, path, Host="evil.example.com:5000", Authorization=password(rendered)) == 403


def test_the_migration_can_be_run_again(mlflow, host, rendered):
    pod = the_pod(rendered, "trial-mlflow")
    again = {**pod, "metadata": {**pod["metadata"], "name": "again"}}
    for container in pod["spec"]["initContainers"]:
        code, log = host.start(again, container).end()
        assert code == 0, log


def test_helm_test_of_mlflow_passes(mlflow, host, rendered):
    code, log = start(host, rendered, "trial-test-mlflow").end()
    assert code == 0, log


def test_the_dashboard_asks_for_the_token(head, rendered):
    token = named(rendered, "Secret", "trial-ray")["stringData"]["auth_token"]
    assert head.get(8265, "/api/jobs/") == 401
    assert head.get(8265, "/api/jobs/", Authorization="Bearer no") in (401, 403)
    assert head.get(8265, "/api/jobs/", Authorization=f"Bearer {token}") == 200


def test_the_worker_joins_with_its_cores_and_objects_lie_in_shared_memory(worker, head):
    code = "import ray; ray.init(address='auto', logging_level='ERROR');"
    code += "import json; print(json.dumps([ray.cluster_resources(), len(ray.nodes())]))"
    resources, nodes = json.loads(head.run("python", "-c", code).splitlines()[-1])
    assert resources["CPU"] == 1  # the head has none
    assert resources["object_store_memory"] == 128 * 2**20 + 256 * 2**20
    assert nodes == 2
    assert worker.run("cat", "/proc/1/status").find("CapEff:\t0000000000000000") >= 0


def test_helm_test_of_ray_trains_on_the_worker(worker, host, rendered):
    code, log = start(host, rendered, "trial-test-ray").end()
    assert code == 0, log


def test_a_worker_that_must_go_is_not_held_up(worker, rendered):
    """It may train on until it must end; without work it ends at once, as it does where Ray's drain works."""
    pod = the_pod(rendered, "trial-worker-cpu")
    drain = float(variables(pod["spec"]["containers"][0])["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert worker.stop(pod["spec"]["terminationGracePeriodSeconds"]) < drain
    assert "Local node finished draining" in worker.log()


def test_the_heads_end_stops_its_jobs_first(head, rendered):
    """Kubernetes runs preStop, then sends SIGTERM; all within the grace period."""
    pod = the_pod(rendered, "trial-head-headgroup")
    (container,) = pod["spec"]["containers"]
    sleep = "import time; time.sleep(3600)"
    head.run("ray", "job", "submit", "--no-wait", "--submission-id", "endless", "--", "python", "-c", sleep)
    before = time.monotonic()
    head.run(*container["lifecycle"]["preStop"]["exec"]["command"])
    # Where nobody buried the job's processes, Ray would wait all the time that it has.
    assert time.monotonic() - before < float(variables(container)["RAY_JOB_STOP_WAIT_TIME_S"])
    assert jobs(head)["endless"] == "STOPPED"
    head.stop(pod["spec"]["terminationGracePeriodSeconds"])
    assert "received SIGTERM" in head.log()
    assert head.exit_code == 1  # Ray's own after SIGTERM; 137 would be the end of the grace period
