"""Which Helms and which of KubeRay's schemas the chart is tested with."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a random order of all others, those that end a container still come after those that use it."""
    places = [place for place, item in enumerate(items) if item.path.name == "test_in_docker.py"]
    in_order = sorted((items[place] for place in places), key=lambda item: item.location[1] or 0)
    for place, item in zip(places, in_order, strict=True):
        items[place] = item


@pytest.fixture(scope="session")
def helms(request) -> list[str]:
    """The programs in TRAINERS_HELM (paths, by colons), else the one on the PATH."""
    given = os.environ.get("TRAINERS_HELM")
    return given.split(":") if given else [request.getfixturevalue("helm")]


@pytest.fixture(scope="session")
def helm3_or_4(helms) -> str:
    """One Helm, for what does not depend on which."""
    return helms[0]


@pytest.fixture(scope="session")
def crds(need) -> Path:
    """The folder of KubeRay's CRDs: TRAINERS_CRDS, else beside the checkout, else in Go's cache of modules."""
    folders = [Path(os.environ.get("TRAINERS_CRDS", "/none")), ROOT.parent / "shared" / "kuberay-crds", _in_go()]
    found = next((folder for folder in folders if (folder / "ray.io_rayclusters.yaml").is_file()), None)
    need("crds", found is not None, "KubeRay's CRDs are not there (TRAINERS_CRDS)")
    return found


def _in_go() -> Path:
    try:
        answer = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return Path("/none")
    operators = Path(answer.stdout.strip(), "github.com/ray-project/kuberay").glob("ray-operator@*")
    return max(operators, default=Path("/none")) / "config/crd/bases"
