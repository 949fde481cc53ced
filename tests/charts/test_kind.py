"""The scripts for kind: which programs they call, in which order; and what they say when one of them fails."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from rendered import CHART
from schemas import check

ROOT = CHART.parents[1]
KIND = ROOT / "infra" / "kind"

# Each call is written down; what FAIL names fails; kind knows the clusters in CLUSTERS, docker its image by IMAGE.
FAKE = """#!/bin/bash
call="$(basename "$0") $*"
[ -t 0 ] || { [[ $call == *"--filename -"* ]] && cat >/dev/null; }
echo "$call" >>"$TOOLS/calls"
if [ -f "$TOOLS/FAIL" ] && [[ $call == *$(cat "$TOOLS/FAIL")* ]]; then echo "it broke"; exit 3; fi
case $call in
    "kind get clusters") cat "$TOOLS/CLUSTERS" 2>/dev/null || true ;;
    "kind create cluster"*) echo trainers >"$TOOLS/CLUSTERS" ;;
    "docker image inspect"*) [ -f "$TOOLS/IMAGE" ] ;;
    "make image") touch "$TOOLS/IMAGE" ;;
    *"--output name"*) echo pod/trainers-head-abcde ;;
    *"get notes"*) echo "python jobs/catsdogs.py --on" ;;
esac
"""


class Tools:
    """A PATH with programs that only write down how they were called."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        for name in names:
            (folder / name).write_text(FAKE)
            (folder / name).chmod(0o755)
        for name in ("basename", "cat", "dirname", "grep", "sed", "tail", "touch"):
            (folder / name).symlink_to(shutil.which(name))

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PATH": str(self.folder), "TOOLS": str(self.folder)}
        environment.pop("TRAINERS_IMAGE", None)  # which other tests are told to use
        (self.folder / "calls").write_text("")
        command = ["/bin/bash", str(KIND / script)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def places(self, *beginnings: str) -> list[int]:
        """Where calls that contain these words stand."""
        found = [[index for index, call in enumerate(self.calls) if words in call] for words in beginnings]
        assert all(found), dict(zip(beginnings, found, strict=True))
        return [indices[0] for indices in found]


@pytest.fixture
def tools(tmp_path) -> Tools:
    return Tools(tmp_path, "docker", "kind", "kubectl", "helm", "make")


def test_it_does_all_steps_in_order(tools):
    answer = tools.run("up.sh")
    assert answer.returncode == 0, answer.stderr
    places = tools.places(
        "docker info",
        "make image",
        "kind create cluster --name trainers --config infra/kind/cluster.yaml",
        "kind load docker-image trainers:0.1.0 --name trainers",
        "upgrade --install kuberay-operator",
        "pod-security.kubernetes.io/enforce=restricted",
        "upgrade --install trainers helm/trainers",
        "wait raycluster trainers",
        "helm --kube-context kind-trainers test trainers",
        "get notes trainers",
    )
    assert places == sorted(places)
    assert "--version 1.7.0" in next(call for call in tools.calls if "kuberay-operator" in call)
    assert answer.stdout.endswith("python jobs/catsdogs.py --on\n")


def test_it_never_touches_another_cluster(tools):
    tools.run("up.sh")
    for call in tools.calls:
        if call.startswith(("kubectl", "helm")):
            assert re.match(r"(kubectl --context|helm --kube-context) kind-trainers ", call)


def test_it_can_be_run_again(tools):
    tools.run("up.sh")
    answer = tools.run("up.sh")
    assert answer.returncode == 0, answer.stderr
    assert not [call for call in tools.calls if call.startswith(("kind create", "make"))]
    assert all("upgrade --install" in call or " install " not in call for call in tools.calls)


@pytest.mark.parametrize(
    ("broken", "step", "looked_at"),
    [
        ("docker info", "a Docker engine that runs", None),
        ("make image", "the image trainers:0.1.0", None),
        ("kind create", "the kind cluster trainers", None),
        ("kind load", "the image in the cluster's nodes", None),
        ("upgrade --install kuberay-operator", "the operator KubeRay 1.7.0", "kuberay-system describe pods"),
        ("kubectl --context kind-trainers label", "the namespace trainers", None),
        ("upgrade --install trainers", "the chart", "describe pod/trainers-head-abcde"),
        ("wait raycluster", "the chart", "describe pod/trainers-head-abcde"),
        ("helm --kube-context kind-trainers test", "helm test", "describe pod/trainers-head-abcde"),
    ],
)
def test_a_failure_names_its_step_and_shows_why(tools, broken, step, looked_at):
    (tools.folder / "FAIL").write_text(broken)
    answer = tools.run("up.sh")
    assert answer.returncode == 3
    assert f"error: this step failed: {step}" in answer.stderr
    assert "run it again" in answer.stderr
    assert (looked_at is None) or any(looked_at in call for call in tools.calls)
    (tools.folder / "FAIL").unlink()
    assert tools.run("up.sh").returncode == 0


@pytest.mark.parametrize("missing", ["kind", "kubectl", "helm"])
def test_a_missing_program_is_named_with_where_to_get_it(tools, missing):
    (tools.folder / missing).unlink()
    answer = tools.run("up.sh")
    assert answer.returncode == 2
    assert f"{missing} is not on the PATH; how to get it: https://" in answer.stderr
    assert tools.calls == []


def test_down_deletes_the_cluster_once(tools):
    (tools.folder / "CLUSTERS").write_text("other\ntrainers\n")
    assert tools.run("down.sh").returncode == 0
    assert tools.calls[-1] == "kind delete cluster --name trainers"
    (tools.folder / "CLUSTERS").write_text("trainers-too\n")
    answer = tools.run("down.sh")
    assert answer.returncode == 0
    assert "there is no kind cluster trainers" in answer.stdout
    assert not [call for call in tools.calls if "delete" in call]


def test_ports_are_open_on_this_machine_alone_and_lead_to_services(crds):
    (control, *workers) = yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"]
    mappings = control["extraPortMappings"]
    assert {each["listenAddress"] for each in mappings} == {"127.0.0.1"}
    assert {each["hostPort"] for each in mappings} == {8265, 5000}
    assert [each["role"] for each in workers] == ["worker", "worker"]
    objects = list(yaml.safe_load_all((KIND / "ports.yaml").read_text()))
    for thing in objects:
        check(thing, crds)
    nodes = {port["nodePort"] for thing in objects if thing["kind"] == "Service" for port in thing["spec"]["ports"]}
    assert {each["containerPort"] for each in mappings} == nodes
