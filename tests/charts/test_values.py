"""values.yaml, its schema, its templates and its README say the same."""

import importlib.util
import json
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator

import pytest
import yaml
from rendered import CHART, Object, objects_of, objects_with, of_kind

ROOT = CHART.parents[1]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
GROUP = "ray.workers.cpu"  # stands for any group

# Where a value has an effect, if not in the default values: in one of the other files.
WHERE = {
    "ray.autoscaling.enabled": "ci/default-values.yaml",
    "ray.autoscaling": "ci/autoscaling-values.yaml",
    f"{GROUP}.idleTimeoutSeconds": "ci/autoscaling-values.yaml",
    "ray.faultTolerance": "ci/fault-tolerance-values.yaml",
    "cache.storageClass": "ci/cache-shared-values.yaml",
    "cache.existingClaim": "ci/cache-claim-values.yaml",
    "storage.endpoint": "ci/external-values.yaml",
    "storage.existingSecret": "ci/external-values.yaml",
    "database.existingSecret": "ci/external-values.yaml",
    "mlflow.ingress": "ci/ingress-values.yaml",
    "job": "ci/job-values.yaml",
    "job.enabled": "ci/default-values.yaml",
    "metrics": "ci/metrics-values.yaml",
    "metrics.enabled": "ci/default-values.yaml",
}
# Another value than the default, where one of the same type will not do.
OTHER = {
    "image.pullPolicy": "Always",
    "image.digest": "sha256:" + "a" * 64,
    "ray.version": "2.61.0",
    "ray.upgrade": "None",
    "ray.autoscaling.upscalingMode": "Aggressive",
    f"{GROUP}.minReplicas": 1,
    f"{GROUP}.maxReplicas": 3,
    f"{GROUP}.idleTimeoutSeconds": 30,
    "ray.podDisruptionBudget.workers": 0,
    "cache.mode": "shared",
    "cache.size": "3Gi",
    "storage.endpoint": "https://other.example.com",
    "storage.bundled.size": "3Gi",
    "storage.bundled.image.digest": "sha256:" + "a" * 64,
    "database.bundled.size": "3Gi",
    "database.bundled.image.digest": "sha256:" + "a" * 64,
    "mlflow.ingress.enabled": False,
    "ray.head.sharedMemory": "512Mi",
    f"{GROUP}.sharedMemory": "512Mi",
    "job.activeDeadlineSeconds": 60,
    "job.backoffLimit": 5,
    "metrics.interval": "5s",
    "networkPolicy.blocked": ["10.0.0.0/8"],
}
TOLERATIONS = [{"key": "other", "operator": "Exists"}]
RESOURCES = {"limits": {"cpu": "3", "memory": "9Gi"}}
# These two are of use only with more than one value: the bundled ones are switched off in `external`.
SWITCHES = ("storage.bundled.enabled", "database.bundled.enabled")


def leaves(values: Object, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value and key != "resources":
            yield from leaves(value, path + ".")
        else:
            yield path, value


def other(path: str, value: object) -> object:
    if path in OTHER:
        return OTHER[path]
    if path.endswith("resources"):
        return RESOURCES
    if path.endswith("tolerations"):
        return TOLERATIONS
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {"OTHER" if path == "ray.env" else "example.com/other": "other"}
    return ["other"] if isinstance(value, list) else "other"


def nested(path: str, value: object) -> Object:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def without_passwords(rendered: object) -> str:
    return re.sub(r"\b[A-Za-z0-9]{40}\b", "*", json.dumps(rendered))


@pytest.mark.parametrize(("path", "value"), [each for each in leaves(VALUES) if each[0] not in SWITCHES])
def test_every_value_has_an_effect(helms, path, value):
    prefixes = [".".join(path.split(".")[:length]) for length in range(path.count(".") + 1, 0, -1)]
    file = next((WHERE[prefix] for prefix in prefixes if prefix in WHERE), "ci/default-values.yaml")
    changed = objects_with(helms[0], nested(path, other(path, value)), file)
    assert without_passwords(changed) != without_passwords(objects_of(helms[0], file))


def known(schema: Object, above: str = "") -> Iterator[str]:
    """The paths in the schema; of the groups of workers as of the one that is there by default."""
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if above == "ray.workers.":
        yield from known(schema["additionalProperties"], f"{GROUP}.")
    for key, each in schema.get("properties", {}).items():
        below = list(known(each, f"{above}{key}.")) if key not in ("resources", "tolerations") else []
        yield from below or [f"{above}{key}"]


def test_the_schema_knows_the_values_and_no_others():
    assert sorted(known(SCHEMA)) == sorted(path for path, _ in leaves(VALUES))


def test_the_schema_is_closed_everywhere():
    def check(part: object) -> None:
        if isinstance(part, dict):
            assert part.get("type") != "object" or "additionalProperties" in part, part
            for each in part.values():
                check(each)

    check(SCHEMA)


def docs() -> object:
    spec = importlib.util.spec_from_file_location("chart_docs", ROOT / "helm" / "docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_has_the_present_values():
    readme = (CHART / "README.md").read_text()
    assert docs().documented(readme, (CHART / "values.yaml").read_text()) == readme, "run `make chart-docs`"


def test_every_value_that_does_not_speak_for_itself_has_a_comment():
    plain = ("annotations", "nodeSelector", "tolerations", "resources", "image", "repository", "tag", "digest", "size")
    plain += ("runtimeClassName", "priorityClassName", "pullPolicy", "storageClass", "className", "host", "region")
    plain += ("bucket", "interval", "enabled", "bundled", "ingress", "head", "autoscaling")
    found = [row.path for row in docs().rows((CHART / "values.yaml").read_text()) if not row.comment]
    assert [path for path in found if path.rpartition(".")[2] not in plain and "." in path] == []


def test_versions_are_those_of_the_package_and_of_its_ray():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    (ray,) = re.findall(r"^ray(?:\[.+\])?==(\S+)", (ROOT / "infra" / "requirements.lock").read_text(), re.MULTILINE)
    assert chart["appVersion"] == version
    assert VALUES["ray"]["version"] == ray


def test_an_upgrade_renders_the_same_but_for_passwords(helms):
    """What is random would restart pods at every upgrade, were it in a pod."""
    again = [without_passwords(each) for each in objects_with(helms[0], {}, "values-kind.yaml")]
    assert again == [without_passwords(each) for each in objects_of(helms[0], "values-kind.yaml")]
    first, second = (
        [each for each in objects_with(helms[0], {"cache": {"size": "2Gi"}}) if each["kind"] != "Secret"] for _ in "ab"
    )
    assert first == second


def test_notes_give_the_commands(helms, tmp_path):
    # `helm template` leaves out NOTES.txt: here they are the text of an object.
    chart = shutil.copytree(CHART, tmp_path / "trainers")
    notes = textwrap.indent((chart / "templates" / "NOTES.txt").read_text(), "  ")
    (chart / "templates" / "notes.yaml").write_text(f"kind: Notes\nmetadata: {{name: notes}}\ntext: |\n  -\n{notes}")
    (found,) = of_kind(objects_with(helms[0], {}, chart=chart), "Notes")
    answer = found["text"]
    for words in (
        "kubectl --namespace vision port-forward service/trial-head-svc 8265 &",
        "python jobs/catsdogs.py --on http://127.0.0.1:8265 --token k8s:vision/trial-ray",
        "kubectl --namespace vision get secret trial-ray --output jsonpath='{.data.auth_token}' | base64 --decode",
        "kubectl --namespace vision port-forward service/trial-mlflow 5000 &",
        "helm test trial --namespace vision --logs",
        "'{{.data.username | base64decode}} {{.data.password | base64decode}}'",
    ):
        assert words in answer


def test_the_tests_of_helm_are_hooks(helms):
    tests = of_kind(objects_of(helms[0], "ci/default-values.yaml"), "Pod")
    assert {each["metadata"]["annotations"]["helm.sh/hook"] for each in tests} == {"test"}
    assert {each["metadata"]["name"] for each in tests} == {"trial-test-ray", "trial-test-mlflow"}


def test_programs_in_the_chart_are_programs(helms):
    commands = []
    for path in sorted((CHART / "files").glob("*.py")):
        compile(path.read_text(), path.name, "exec")
        commands.append(path.read_text())
    found = json.dumps(objects_of(helms[0], "ci/default-values.yaml"))
    assert all(json.dumps(command) in found for command in commands)


def test_a_package_has_no_examples_and_no_secrets(helms, tmp_path):
    subprocess.run([helms[0], "package", str(CHART), "--destination", str(tmp_path)], check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tgz")
    names = subprocess.run(["tar", "-tzf", archive], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in names if "/ci/" in name]
    assert "trainers/values.schema.json" in names
