"""Objects against the schemas of Kubernetes, of KubeRay's CRDs, and of the Prometheus operator's one kind."""

import copy
import functools
import json
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

# The oldest and the newest Kubernetes that the chart is held to.
KUBERNETES = ("1.29", "1.37")

# Of monitoring.coreos.com/v1, what the chart uses; the real CRD comes with that operator.
SERVICE_MONITOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "monitoring.coreos.com/v1"},
        "kind": {"const": "ServiceMonitor"},
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["selector", "endpoints"],
            "properties": {
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}},
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {"port": {"type": "string"}, "interval": {"type": "string"}},
                    },
                },
            },
        },
    },
}


def check(thing: dict[str, Any], crds: Path) -> None:
    """Raises ValidationError for an object that a cluster would not take; its kind must be known."""
    group = thing["apiVersion"].rpartition("/")[0]
    if group == "ray.io":
        crd_validator(crds, thing["kind"]).validate(thing)
    elif group == "monitoring.coreos.com":
        Draft202012Validator(SERVICE_MONITOR).validate(thing)
    else:
        for version in KUBERNETES:
            core_validator(version, thing["apiVersion"], thing["kind"]).validate(thing)


@functools.cache
def core_validator(version: str, api: str, kind: str) -> Draft202012Validator:
    """Of a kind of Kubernetes itself; unknown fields are refused."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    group, _, number = api.rpartition("/")
    name = f"{kind.lower()}-{group.partition('.')[0]}-{number}.json" if group else f"{kind.lower()}-{number}.json"
    if not (folder / name).is_file():
        raise ValidationError(f"Kubernetes {version} has no kind {kind} in {api}")
    return Draft202012Validator(json.loads((folder / name).read_text()), registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Registry:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    return Resource.from_contents(json.loads((folder / "_definitions.json").read_text())) @ Registry()


@functools.cache
def crd_validator(crds: Path, kind: str) -> Draft202012Validator:
    """Of a kind of KubeRay; unknown fields, which the API server would drop, are refused."""
    file = crds / f"ray.io_{kind.lower()}s.yaml"
    if not file.is_file():
        raise ValidationError(f"KubeRay has no kind {kind}")
    (version,) = (each for each in yaml.safe_load(file.read_text())["spec"]["versions"] if each["name"] == "v1")
    schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"$comment": "the API server's own"}
    return Draft202012Validator(_strict(schema))


def _strict(schema: Any) -> Any:
    """An openAPIV3Schema as a JSON schema that knows no other fields."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
    fields = made.get("properties")
    if isinstance(fields, dict) and "$comment" not in fields and not isinstance(made.get("type"), dict):
        made.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
        # What has a default is filled in by the API server before it looks.
        if "required" in made:
            made["required"] = [key for key in made["required"] if "default" not in fields.get(key, {})]
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made
