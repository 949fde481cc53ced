"""What the compose file promises before anything is started."""

import json
import re
import stat

import pytest
from stack import ROOT, run

ONE_SHOT = {"migrate", "bucket"}


@pytest.fixture
def secrets(tmp_path):
    """A file of secrets as `make up` makes it."""
    run(["infra/secrets.sh", str(tmp_path / ".env")])
    return tmp_path / ".env"


@pytest.fixture
def config(docker, secrets):
    """The compose file as Docker understands it."""

    def read(*files: str) -> dict:
        chosen = [f"--file=infra/{name}" for name in ("compose.yaml", *files)]
        return json.loads(run([docker, "compose", f"--env-file={secrets}", *chosen, "config", "--format=json"]))

    return read


@pytest.fixture
def services(config) -> dict:
    return config()["services"]


def test_without_secrets_nothing_is_started_and_it_says_what_to_do(docker, tmp_path):
    (tmp_path / ".env").touch()
    command = [docker, "compose", f"--env-file={tmp_path}/.env", "--file=infra/compose.yaml", "config"]
    assert "is missing a value: run `make up`" in run(command, fails=True)


def test_secrets_are_long_unlike_each_other_for_their_owner_alone_and_made_once(secrets):
    text = secrets.read_text()
    values = re.findall(r"^(?:\w+_(?:TOKEN|PASSWORD|KEY))=(.*)$", text, re.MULTILINE)
    assert len(values) == len(set(values)) == 6
    assert all(re.fullmatch("[A-Za-z0-9]{48}", value) for value in values)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    run(["infra/secrets.sh", str(secrets)])
    assert secrets.read_text() == text
    assert [file.name for file in secrets.parent.iterdir()] == [".env"]


def test_what_a_shell_exports_for_other_clusters_changes_nothing(docker, secrets, config):
    names = (
        "RAY_AUTH_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "MLFLOW_TRACKING_PASSWORD",
    )
    command = [docker, "compose", f"--env-file={secrets}", "--file=infra/compose.yaml", "config", "--format=json"]
    assert json.loads(run(command, **dict.fromkeys(names, "another"))) == config()


def test_no_value_of_a_secret_stands_in_the_files():
    for file in ("compose.yaml", "compose.gpu.yaml"):
        for line in (ROOT / "infra" / file).read_text().splitlines():
            name, _, value = line.strip().partition(": ")
            if re.search("PASSWORD|TOKEN|SECRET|_KEY|KEY_ID", name):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?.*\}", value), line


def test_all_are_restricted_limited_and_watched(services):
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert not {"privileged", "cap_add"} & set(service), name
        limits = service["deploy"]["resources"]["limits"]
        assert all(float(limits[what]) > 0 for what in ("cpus", "memory", "pids")), name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped"), name
        assert ("healthcheck" in service) == (name not in ONE_SHOT), name


def test_only_ray_and_mlflow_are_published_to_this_host_alone(services):
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert {name: [(port["host_ip"], port["target"]) for port in ports] for name, ports in published.items()} == {
        "head": [("127.0.0.1", 8265)],
        "mlflow": [("127.0.0.1", 5000)],
    }


def test_the_store_and_the_database_have_networks_without_a_way_out(config):
    networks = config()["networks"]
    assert {name for name, network in networks.items() if network.get("internal")} == {"store", "database"}
    members = {
        name: {service for service, options in config()["services"].items() if name in options["networks"]}
        for name in networks
    }
    assert members["store"] == {"s3", "bucket", "head", "worker", "mlflow"}
    assert members["database"] == {"postgres", "migrate", "mlflow"}
    assert members["ray"] == {"head", "worker", "mlflow"}


def test_every_process_of_ray_asks_for_the_token(services):
    for name in ("head", "worker"):
        environment = services[name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token", name
        assert len(environment["RAY_AUTH_TOKEN"]) == 48, name


def test_the_image_is_of_this_version(services):
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)
    images = {name: service["image"] for name, service in services.items()}
    assert {images.pop("postgres"), images.pop("s3")} == {"postgres:17-bookworm", "versity/versitygw:v1.7.0"}
    assert set(images.values()) == {f"trainers:{version}"}


def test_with_gpus_one_worker_has_them_all(config):
    worker = config("compose.gpu.yaml")["services"]["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["gpu"])
    assert worker["deploy"]["replicas"] == 1
    assert worker["deploy"]["resources"]["limits"]["pids"]  # what the first file says stays


def test_make_down_without_a_stack_says_so(tmp_path):
    said = run(["infra/stack.sh", "down"], fails=True, TRAINERS_ENV_FILE=str(tmp_path / ".env"))
    assert said == f"error: there is no {tmp_path}/.env, so nothing was started from here\n"
