"""The image, built; the stack of `make up`, started beside any that runs here; both removed at the end."""

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import Stack, free_ports, measured, run

STANDINS = Path(__file__).parent / "standins"
BASE = os.environ.get("TRAINERS_PYTHON_BASE", "python:3.11-slim-bookworm")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in measured:
        terminalreporter.write_line(f"docker: {line}")


@pytest.fixture(scope="session")
def base(docker: str, need) -> str:
    """An image with Python on Debian, from which the others are made."""
    need("docker", has_image(docker, BASE), f"the image {BASE} cannot be had (TRAINERS_PYTHON_BASE names another)")
    return BASE


@pytest.fixture(scope="session")
def image(docker: str, base: str) -> Iterator[str]:
    """The service's image, of the code as it is now. TRAINERS_KEEP_IMAGE keeps it."""
    name = f"trainers-test:{os.getpid()}"
    begun = time.monotonic()
    built = run(["infra/build.sh"], TRAINERS_DOCKER=docker, TRAINERS_IMAGE=name, TRAINERS_PYTHON_BASE=base)
    measured.append(f"{built.splitlines()[-1]} (here {time.monotonic() - begun:.0f} s)")
    yield name
    if not os.environ.get("TRAINERS_KEEP_IMAGE"):
        run([docker, "image", "rm", name])


@pytest.fixture(scope="session")
def postgres_image(docker: str, base: str, tmp_path_factory) -> Iterator[str]:
    """PostgreSQL's official image, or one that stands in for it."""
    if has_image(docker, official := "postgres:17-bookworm"):
        yield official
    else:
        yield from standin(docker, base, "postgres", tmp_path_factory.mktemp("postgres"))


@pytest.fixture(scope="session")
def s3_image(docker: str, base: str, tmp_path_factory, request) -> Iterator[str]:
    """versitygw's official image, or one that stands in for it."""
    if has_image(docker, official := "versity/versitygw:v1.7.0"):
        yield official
    else:
        context = tmp_path_factory.mktemp("s3")
        shutil.copy(request.getfixturevalue("versitygw"), context / "versitygw")
        yield from standin(docker, base, "s3", context)


@pytest.fixture(scope="session")
def stack(docker: str, image: str, postgres_image: str, s3_image: str, tmp_path_factory) -> Iterator[Stack]:
    """What `make up` starts, with a name, secrets and ports of its own."""
    ray, mlflow = free_ports(2)
    name, folder = f"trainers-test-{secrets.token_hex(3)}", tmp_path_factory.mktemp("stack")
    environment = {
        "TRAINERS_DOCKER": docker,
        "TRAINERS_IMAGE": image,
        "TRAINERS_ENV_FILE": str(folder / ".env"),
        "COMPOSE_PROJECT_NAME": name,
        "POSTGRES_IMAGE": postgres_image,
        "S3_IMAGE": s3_image,
        "RAY_DASHBOARD_PORT": str(ray),
        "MLFLOW_PORT": str(mlflow),
    }
    stack = Stack(docker, folder, environment)
    try:
        begun = time.monotonic()
        stack.said = stack.make("up")
        measured.append(f"the stack is healthy after {time.monotonic() - begun:.0f} s")
        yield stack
    finally:
        stack.make("down", DATA="delete")


def has_image(docker: str, name: str) -> bool:
    """Whether the image is here, or can be pulled."""
    for command, seconds in (["image", "inspect"], 30), (["pull", "--quiet"], 300):
        try:
            if subprocess.run([docker, *command, name], capture_output=True, timeout=seconds).returncode == 0:
                return True
        except subprocess.TimeoutExpired:
            pass
    return False


def standin(docker: str, base: str, name: str, context: Path) -> Iterator[str]:
    """An image of standins/NAME.Dockerfile, removed at the end."""
    for file in STANDINS.glob(f"{name}*"):
        shutil.copy(file, context)
    image = f"trainers-test-{name}:{os.getpid()}"
    build = [docker, "build", "--quiet", "--file", f"{context}/{name}.Dockerfile", "--build-arg", f"BASE={base}"]
    run([*build, "--tag", image, str(context)], DOCKER_BUILDKIT="1")
    yield image
    run([docker, "image", "rm", image])
