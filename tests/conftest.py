"""What all tests share: an environment of their own, where real data lies, and what may not be skipped."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from settings import without_settings

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    # A shell ignores Ctrl-C for what it starts in the background, and so would the jobs that are started here.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in os.environ.keys() - without_settings(os.environ).keys():
        del os.environ[name]
    # Where nothing is named, it would be what lies in the home folder.
    files = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "KUBECONFIG", "MATPLOTLIBRC")
    os.environ |= dict.fromkeys(files, os.devnull)
    # A proxy, where there is one, is not the way to the servers of these tests.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))


@pytest.fixture(scope="session")
def need() -> Callable[[str, bool, str], None]:
    """Skips a test that lacks something, unless TRAINERS_REQUIRE (names, by commas) says that it must be there."""
    required = os.environ.get("TRAINERS_REQUIRE", "").split(",")

    def need_it(name: str, present: bool, reason: str) -> None:
        if not present and name in required:
            pytest.fail(f"TRAINERS_REQUIRE names {name}, but {reason}")
        if not present:
            pytest.skip(reason)

    return need_it


@pytest.fixture(scope="session")
def real_data(need) -> Path:
    """The folder of real photographs, at TRAINERS_DATA."""
    folder = Path(os.environ.get("TRAINERS_DATA", ROOT.parent / "shared" / "data"))
    need("data", folder.is_dir(), f"there is no real data in {folder} (TRAINERS_DATA)")
    return folder


@pytest.fixture(scope="session")
def helm(need) -> str:
    """Helm, version 3 or 4."""
    return _program(need, "helm", "helm")


@pytest.fixture(scope="session")
def versitygw(need) -> str:
    """An S3 server over a folder."""
    return _program(need, "s3", "versitygw")


@pytest.fixture(scope="session")
def docker(need) -> str:
    """The client of a Docker engine that runs; only if asked for, since building the image takes minutes and 7 GB."""
    if "docker" not in os.environ.get("TRAINERS_REQUIRE", "").split(","):
        pytest.skip("TRAINERS_REQUIRE=docker runs what needs an image of 7 GB")
    # TRAINERS_DOCKER: where another program of that name comes first on the PATH.
    client = _program(need, "docker", os.environ.get("TRAINERS_DOCKER", "docker"))
    answer = subprocess.run([client, "info"], capture_output=True, text=True, timeout=30)
    need("docker", answer.returncode == 0, "no Docker engine answers")
    compose = subprocess.run([client, "compose", "version"], capture_output=True, timeout=30)
    need("docker", compose.returncode == 0, f"{client} has no compose plugin")
    return client


def _program(need: Callable[[str, bool, str], None], name: str, program: str) -> str:
    found = shutil.which(program)
    need(name, found is not None, f"{program} is not on the PATH")
    return str(found)
