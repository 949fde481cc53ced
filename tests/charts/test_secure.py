"""Whatever the chart is given: secrets by reference, restricted containers, one image of ours, no loose ends."""

import json
import shlex

import pytest
import yaml
from rendered import CHART, FILES, Object, containers, named, objects_of, objects_with, of_kind, pods, variables, walk

OURS = ("Deployment", "Pod", "RayCluster", "RayJob")
BUNDLED = ("storage", "database")  # containers of other software
PRECIOUS = ("PASSWORD", "SECRET", "TOKEN", "KEY", "STORE_URI")


@pytest.fixture(params=FILES)
def found(helms, request) -> list[Object]:
    return objects_of(helms[0], request.param)


@pytest.fixture
def values(request, found) -> Object:
    return yaml.safe_load((CHART / request.node.callspec.params["found"]).read_text())


def test_secrets_are_only_referred_to(found):
    for pod in pods(found):
        for container in containers(pod):
            for variable in container.get("env", []):
                if any(word in variable["name"] for word in PRECIOUS):
                    assert "secretKeyRef" in variable["valueFrom"], variable
    made = [value for secret in of_kind(found, "Secret") for _, value in walk(secret["stringData"]) if len(value) > 20]
    others = json.dumps([each for each in found if each["kind"] != "Secret"])
    assert not [value for value in made if value in others]


def test_passwords_are_long_and_all_different(found):
    made = [value for secret in of_kind(found, "Secret") for _, value in walk(secret["stringData"])]
    words = [value for value in made if value != "admin" and not value.startswith("postgresql://")]
    assert len(set(words)) == len(words)
    assert all(len(word) == 40 for word in words)


def test_every_container_is_restricted(found):
    """Pod Security Standards, "restricted", and a read-only root besides."""
    for pod in pods(found):
        spec = pod["spec"]
        assert not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] in (1000, 999)
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "ephemeral", "projected"}
        for container in containers(pod):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, container["name"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_only_the_autoscaler_has_a_token_of_kubernetes(found):
    for pod in pods(found):
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in containers(pod):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert ("kubernetes-token" in mounted) == (container["name"] == "autoscaler")
    assert all(each["automountServiceAccountToken"] is False for each in of_kind(found, "ServiceAccount"))


def test_every_account_is_there(found):
    accounts = {each["metadata"]["name"] for each in of_kind(found, "ServiceAccount")}
    assert {pod["spec"]["serviceAccountName"] for pod in pods(found)} == accounts


def test_ours_is_one_image_and_none_is_the_latest(found, values):
    images = {(each["name"], each["image"]) for pod in pods(found) for each in containers(pod)}
    ours = {image for name, image in images if name not in BUNDLED}
    assert len(ours) == 1
    repository = values.get("image", {}).get("repository", "trainers")
    assert ours.pop().startswith((f"{repository}:", f"{repository}@sha256:"))
    for _, image in images:
        assert "@sha256:" in image or image.rpartition(":")[2] not in ("", "latest")
        assert "@sha256:" in image or ":" in image


def test_every_container_has_limits_and_a_place_for_small_files(found):
    for pod in pods(found):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert "memory" in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts
            assert set(mounts.values()) <= {*volumes, "data"}


def test_servers_have_probes(found):
    for pod in pods(found):
        for container in pod["spec"]["containers"]:
            if container["name"] not in ("test", "submitter", "autoscaler"):
                ports = [port.get("name") for port in container["ports"]]
                for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                    probe = container[kind]
                    assert "exec" in probe or probe["httpGet"]["port"] in (*ports, 52365)


def test_every_selector_finds_pods(found):
    labels = [pod["metadata"]["labels"] for pod in pods(found)]

    def selected(selector: Object) -> list[Object]:
        return [each for each in labels if selector.items() <= each.items()]

    for each in found:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            assert selected(spec["selector"]), each["metadata"]["name"]
        if each["kind"] in ("Deployment", "StatefulSet"):
            assert len(selected(spec["selector"]["matchLabels"])) == 1
        if each["kind"] == "PodDisruptionBudget":
            assert selected(spec["selector"]["matchLabels"])
        if each["kind"] == "ServiceMonitor":
            services = [service["metadata"]["labels"] for service in of_kind(found, "Service")]
            assert [one for one in services if spec["selector"]["matchLabels"].items() <= one.items()]


def test_ports_of_services_are_open(found):
    for service in of_kind(found, "Service"):
        selector = service["spec"]["selector"].items()
        for pod in pods(found):
            if selector <= pod["metadata"]["labels"].items():
                opened = {port["name"] for each in pod["spec"]["containers"] for port in each.get("ports", [])}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= opened


def test_whatever_is_referred_to_is_made_here_or_named_by_the_user(found, values):
    """Secrets with their keys, and claims."""
    made = {each["metadata"]["name"]: set(each["stringData"]) for each in of_kind(found, "Secret")}
    names = {str(value) for _, value in walk(values)}
    for pod in pods(found):
        for path, value in walk(pod["spec"]):
            if path.endswith("secretKeyRef.name"):
                assert value in made or value in names, value
            if path.endswith("claimName"):
                claims = {each["metadata"]["name"] for each in of_kind(found, "PersistentVolumeClaim")}
                assert value in claims | names
        for container in containers(pod):
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference and reference["name"] in made:
                    assert reference["key"] in made[reference["name"]]


def test_data_is_kept_unless_told_otherwise(helms):
    for keep in (True, False):
        found = objects_with(helms[0], {"keepData": keep})
        for secret in of_kind(found, "Secret"):
            assert ("annotations" in secret["metadata"]) == keep
        for store in of_kind(found, "StatefulSet"):
            policy = store["spec"]["persistentVolumeClaimRetentionPolicy"]
            assert policy == {"whenDeleted": "Retain" if keep else "Delete", "whenScaled": "Retain"}


def test_the_environment_is_the_services_contract(helms):
    """Head, workers and submitter find storage, tracking and Ray by the same variables as on one host."""
    contract = {
        *("TRAINERS__STORAGE__PATH", "TRAINERS__STORAGE__CACHE", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"),
        *("MLFLOW_TRACKING_PASSWORD", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        *("AWS_DEFAULT_REGION", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"),
    }
    cluster = named(objects_of(helms[0], "ci/default-values.yaml"), "RayCluster", "trial")
    for pod in pods([cluster]):
        (container, *_) = pod["spec"]["containers"]
        assert contract <= {each["name"] for each in container["env"]}
        assert variables(container)["TRAINERS__STORAGE__PATH"] == "s3://trainers/runs"
        assert variables(container)["MLFLOW_TRACKING_URI"] == "http://trial-mlflow:5000"


def test_the_head_says_what_the_cluster_can_have(helms):
    found = objects_of(helms[0], "values-gpu.yaml")
    head = next(pods(of_kind(found, "RayCluster")))
    assert json.loads(variables(head["spec"]["containers"][0])["TRAINERS_CLUSTER_LIMITS"]) == [
        {"name": "h100", "cpus": 96, "gpus": 8, "max": 2},
        {"name": "l4", "cpus": 7, "gpus": 1, "max": 8},
    ]


@pytest.mark.parametrize(("quantity", "cores"), [("3500m", 4), ("0.5", 1), (2, 2), ("100m", 1), ("16", 16)])
def test_cores_are_counted_as_the_operator_counts_them(helms, quantity, cores):
    resources = {"limits": {"cpu": quantity, "memory": "8Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}}
    values = {"ray": {"workers": {"cpu": {"resources": resources}}}}
    head, worker = pods(of_kind(objects_with(helms[0], values), "RayCluster"))
    limits = variables(head["spec"]["containers"][0])["TRAINERS_CLUSTER_LIMITS"]
    assert json.loads(limits)[0]["cpus"] == cores
    assert f"--num-cpus={cores} " in variables(worker["spec"]["containers"][0])["KUBERAY_GEN_RAY_START_CMD"]


def test_a_job_is_another_one_when_it_is_changed(helms):
    def name(**job: object) -> str:
        (made,) = of_kind(objects_with(helms[0], {"job": {"enabled": True, **job}}), "RayJob")
        return made["metadata"]["name"]

    assert name() == name()
    assert len({name(), name(name="mnist"), name(args=["plan"]), name(backoffLimit=1)}) == 4


def test_a_jobs_words_reach_the_shell_as_they_are(helms):
    (job,) = of_kind(objects_of(helms[0], "ci/job-values.yaml"), "RayJob")
    words = ["python", "/app/jobs/mnist.py", "--preset", "three-mlps", "--training.epochs", "2"]
    words += ["--search.space", '{"optimizer.lr": {"choice": [0.1]}}', "--name", "it's mine"]
    assert shlex.split(job["spec"]["entrypoint"]) == words
    assert job["spec"]["shutdownAfterJobFinishes"] is True
