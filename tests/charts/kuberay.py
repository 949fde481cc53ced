"""What KubeRay 1.7 makes of a RayCluster: its pods, with the containers, commands and variables that it adds.

The operator is not run here. This says what its builder was seen to make of the chart's own objects, as far as the
tests look at it: the generated `ray start`, what waits for the head before a worker, the autoscaler beside the head,
the token's variables, volumes that it mounts, a pod's labels.
"""

import copy
import json
import math
import re
from typing import Any

Object = dict[str, Any]

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
GPU = re.compile(r"(gpu|nvidia\.com/mig-\d+g\.\d+gb)$")


def pods(name: str, spec: Object) -> list[Object]:
    """The head's pod and one of each group of workers."""
    head = spec["headGroupSpec"]
    made = [_pod(name, "head", "headgroup", copy.deepcopy(head), spec)]
    for group in spec["workerGroupSpecs"]:
        made.append(_pod(name, "worker", group["groupName"], copy.deepcopy(group), spec))
    return made


def submitter(name: str, spec: Object) -> Object:
    """The pod that submits a RayJob."""
    pod = copy.deepcopy(spec["submitterPodTemplate"])
    container = pod["spec"]["containers"][0]
    address = f"http://{name}-abcde-head-svc.vision.svc.cluster.local:8265"
    container["command"] = ["/bin/bash", "-ce", "--"]
    container["args"] = [f"ray job submit --address {address} --no-wait -- {spec['entrypoint']}"]
    pod["metadata"]["name"] = name
    return pod


def quantity(text: object) -> float:
    """A quantity of Kubernetes as a number."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()
    return float(number) / 1000 if unit == "m" else float(number) * UNITS[unit]


def _pod(name: str, kind: str, group: str, made: Object, spec: Object) -> Object:
    pod = made["template"]
    pod["metadata"] = {
        "name": f"{name}-{kind}-{group}",
        **pod["metadata"],
        "labels": {
            "app.kubernetes.io/name": "kuberay",
            "app.kubernetes.io/created-by": "kuberay-operator",
            **pod["metadata"].get("labels", {}),
            "ray.io/is-ray-node": "yes",
            "ray.io/cluster": name,
            "ray.io/node-type": kind,
            "ray.io/group": group,
        },
    }
    container = pod["spec"]["containers"][0]
    head = f"{name}-head-svc.vision.svc.cluster.local"
    if kind == "worker":
        pod["spec"].setdefault("initContainers", []).append(_waiting(container, head))
    if kind == "head" and spec.get("enableInTreeAutoscaling"):
        _add_autoscaler(pod, spec["autoscalerOptions"])
    if spec.get("enableInTreeAutoscaling"):
        pod["spec"]["restartPolicy"] = "Never"
    params = made.get("rayStartParams", {})
    if kind == "head" and "gcsFaultToleranceOptions" in spec:
        params = {**params, **_add_redis(container, spec["gcsFaultToleranceOptions"])}
    assert pod["metadata"]["annotations"]["ray.io/overwrite-container-cmd"] == "true"
    _set_command(container, kind, params, head, "enableInTreeAutoscaling" in spec)
    _add_variables(container, "127.0.0.1" if kind == "head" else head)
    return pod


def _waiting(container: Object, head: str) -> Object:
    """What runs before a worker: it has the worker's image, security, variables and volumes, and little else."""
    small = {"cpu": "200m", "memory": "256Mi"}
    loop = f"until ray health-check --address {head}:6379; do sleep 5; done"
    kept = ("image", "imagePullPolicy", "securityContext", "env", "volumeMounts")
    return {
        "name": "wait-gcs-ready",
        **copy.deepcopy({key: container[key] for key in kept}),
        "command": ["/bin/bash", "-c", "--"],
        "args": [loop],
        "resources": {"limits": small, "requests": small},
    }


def _add_autoscaler(pod: Object, options: Object) -> None:
    ray = pod["spec"]["containers"][0]
    logs = {"name": "ray-logs", "mountPath": "/tmp/ray"}
    ray["volumeMounts"].append(logs)
    pod["spec"]["volumes"].append({"name": "ray-logs", "emptyDir": {}})
    start = "ray kuberay-autoscaler --cluster-name $(RAY_CLUSTER_NAME) --cluster-namespace $(RAY_CLUSTER_NAMESPACE)"
    pod["spec"]["containers"].append(
        {
            "name": "autoscaler",
            "image": ray["image"],
            "imagePullPolicy": options["imagePullPolicy"],
            "command": ["/bin/bash", "-c", "--"],
            "args": [start],
            "resources": options["resources"],
            "securityContext": options.get("securityContext", {}),
            "volumeMounts": [*options.get("volumeMounts", []), logs],
            "env": [each for each in ray["env"] if each["name"].startswith("RAY_AUTH")],
        }
    )


def _add_redis(container: Object, options: Object) -> Object:
    container["env"].append({"name": "RAY_REDIS_ADDRESS", "value": options["redisAddress"]})
    if "redisPassword" not in options:
        return {}
    container["env"].append({"name": "REDIS_PASSWORD", **options["redisPassword"]})
    return {"redis-password": "$REDIS_PASSWORD"}


def _set_command(container: Object, kind: str, params: Object, head: str, autoscaling: bool) -> None:
    limits = container["resources"]["limits"]
    cores = limits.get("cpu", container["resources"].get("requests", {}).get("cpu"))
    gpus = [str(int(count)) for resource, count in sorted(limits.items()) if GPU.search(resource)]
    given = {
        "num-cpus": str(math.ceil(quantity(cores))),
        "memory": str(int(quantity(limits["memory"]))),
        **({"num-gpus": gpus[0]} if gpus else {}),
        **({"no-monitor": "true"} if autoscaling and kind == "head" else {}),
        "metrics-export-port": "8080",
        "dashboard-agent-listen-port": "52365",
        "block": "true",
        **({"address": f"{head}:6379"} if kind == "worker" else {}),
        **params,
    }
    flags = " ".join(f"--{key}" if value == "true" else f"--{key}={value}" for key, value in sorted(given.items()))
    start = f"ray start --head {flags}" if kind == "head" else f"ray start {flags}"
    container["env"].append({"name": "KUBERAY_GEN_RAY_START_CMD", "value": start})


def _add_variables(container: Object, address: str) -> None:
    names = [each["name"] for each in container["env"]]
    assert not {"RAY_ADDRESS", "RAY_CLUSTER_NAME"} & set(names), json.dumps(names)
    container["env"] += [
        {"name": "RAY_CLUSTER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['ray.io/cluster']"}}},
        {"name": "RAY_PORT", "value": "6379"},
        {"name": "RAY_ADDRESS", "value": f"{address}:6379"},
        {"name": "RAY_USAGE_STATS_KUBERAY_IN_USE", "value": "1"},
    ]
