"""The chart's folder, what Helm makes of it, and the pods in it."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kuberay
import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "trainers"
# All values files that are shipped: those for users, and one per feature.
FILES = sorted(path.relative_to(CHART).as_posix() for path in CHART.glob("**/*values*.yaml") if path.stem != "values")
NAMESPACE = "vision"

Object = dict[str, Any]


class Refused(Exception):
    """Helm ended with an error: its words."""


def helm(program: str, verb: str, *arguments: str, given: str = "") -> str:
    """What Helm prints; `given` is its standard input."""
    # A Helm that was built from source without its release's flags believes in an ancient Kubernetes.
    command = [program, verb, *arguments, "--kube-version", "1.33.0"]
    answer = subprocess.run(command, input=given, capture_output=True, text=True)
    if answer.returncode:
        raise Refused(answer.stdout + answer.stderr)
    return answer.stdout


@functools.cache
def objects_of(program: str, file: str) -> list[Object]:
    """The objects of the chart with one of its values files, rendered once a session."""
    return objects_with(program, {}, file)


def objects_with(
    program: str, values: object, file: str = "ci/default-values.yaml", chart: Path = CHART
) -> list[Object]:
    """The objects with some values over those of a file."""
    over = ["--values", str(CHART / file), "--values", "/dev/stdin"]
    rendered = helm(program, "template", "trial", str(chart), "--namespace", NAMESPACE, *over, given=json.dumps(values))
    return [document for document in yaml.safe_load_all(rendered) if document]


def of_kind(found: list[Object], kind: str) -> list[Object]:
    return [each for each in found if each["kind"] == kind]


def named(found: list[Object], kind: str, name: str) -> Object:
    (one,) = (each for each in of_kind(found, kind) if each["metadata"]["name"] == name)
    return one


def pods(found: list[Object]) -> Iterator[Object]:
    """All pods that there would be, Ray's as the operator makes them: each with `metadata` and `spec`."""
    for each in found:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            template = each["spec"]["template"]
            yield {**template, "metadata": {"name": each["metadata"]["name"], **template["metadata"]}}
        elif each["kind"] == "Pod":
            yield each
        elif each["kind"] == "RayCluster":
            yield from kuberay.pods(each["metadata"]["name"], each["spec"])
        elif each["kind"] == "RayJob":
            spec = each["spec"]
            yield from kuberay.pods(each["metadata"]["name"] + "-abcde", spec["rayClusterSpec"])
            yield kuberay.submitter(each["metadata"]["name"], spec)


def containers(pod: Object) -> list[Object]:
    """All containers of a pod, those that run first too."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def variables(container: Object) -> dict[str, str]:
    """The variables of a container that are given as they are."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def walk(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every scalar in nested maps and lists, with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from walk(each, f"{path}.{key}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from walk(each, f"{path}[{index}]")
    else:
        yield path, value
