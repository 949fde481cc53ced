"""What was made at the first installation is found and kept, as Helm reads it from the cluster."""

import json
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from rendered import CHART, NAMESPACE, named

KINDS = {
    "v1": ["Secret", "Service", "ServiceAccount", "Pod"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
    "ray.io/v1": ["RayCluster"],
}


def resources(version: str) -> dict[str, object]:
    """What an API server says of a group's kinds."""
    plurals = {kind: kind.lower().removesuffix("y") + ("ies" if kind.endswith("y") else "s") for kind in KINDS[version]}
    found = [{"name": plurals[kind], "namespaced": True, "kind": kind, "verbs": ["get"]} for kind in KINDS[version]]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": found}


def group(version: str) -> dict[str, object]:
    versions = [{"groupVersion": version, "version": "v1"}]
    return {"name": version.partition("/")[0], "versions": versions, "preferredVersion": versions[0]}


DISCOVERY: dict[str, object] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(each) for each in KINDS if "/" in each]},
    **{("/apis/" if "/" in version else "/api/") + version: resources(version) for version in KINDS},
}


@pytest.fixture
def cluster() -> Iterator[tuple[str, dict[str, object]]]:
    """The address of an API server, and the objects that it has by their paths."""
    kept: dict[str, object] = {}

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            answer = DISCOVERY.get(path) or kept.get(path) or missing
            body = json.dumps(answer).encode()
            self.send_response(404 if answer is missing else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kept
    server.shutdown()
    thread.join()
    server.server_close()


def secrets(program: str, address: str) -> dict[str, dict[str, str]]:
    """What the rendered secrets hold, with the cluster asked for what it has."""
    command = [program, "template", "trial", str(CHART), "--namespace", NAMESPACE, "--dry-run=server"]
    command += ["--kube-apiserver", address, "--kube-version", "1.33.0", "--disable-openapi-validation"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    found = [document for document in yaml.safe_load_all(answer.stdout) if document]
    names = [each["metadata"]["name"] for each in found if each["kind"] == "Secret"]
    return {name: named(found, "Secret", name)["stringData"] for name in names}


def keep(kept: dict[str, object], made: dict[str, dict[str, str]]) -> None:
    for name, data in made.items():
        encoded: dict[str, Any] = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        # By these Helm knows its own, also what an uninstallation has left.
        owner = {"meta.helm.sh/release-name": "trial", "meta.helm.sh/release-namespace": NAMESPACE}
        labels = {"app.kubernetes.io/managed-by": "Helm"}
        metadata = {"name": name, "namespace": NAMESPACE, "annotations": owner, "labels": labels}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}
        kept[f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"] = secret


def test_an_upgrade_keeps_every_password(helms, cluster):
    address, kept = cluster
    for program in helms:
        kept.clear()
        first = secrets(program, address)
        assert first != secrets(program, address)
        keep(kept, first)
        assert secrets(program, address) == first


def test_a_password_that_is_missing_is_made_and_the_others_stay(helms, cluster):
    address, kept = cluster
    first = secrets(helms[0], address)
    without = {key: value for key, value in first["trial-mlflow"].items() if key != "secret-key"}
    keep(kept, {**first, "trial-mlflow": without})
    again = secrets(helms[0], address)
    assert len(again["trial-mlflow"].pop("secret-key")) == 40
    assert again["trial-mlflow"] == without
    assert {**again, "trial-mlflow": None} == {**first, "trial-mlflow": None}
