"""Who may talk to what: the network policies, read as Kubernetes reads them."""

import pytest
from rendered import FILES, Object, objects_of, of_kind, pods

# Pods by what they are, and the ports on which they hear; 6379 is Ray's own.
PORTS = {"head": 8265, "gcs": 6379, "mlflow": 5000, "database": 5432, "storage": 7070}
MAY = {
    ("head", "gcs"), ("worker", "gcs"), ("worker", "head"), ("client", "head"), ("operator", "head"),
    ("head", "mlflow"), ("worker", "mlflow"), ("client", "mlflow"),
    ("mlflow", "database"),
    ("head", "storage"), ("worker", "storage"), ("mlflow", "storage"),
}  # fmt: skip
RAY = {"app.kubernetes.io/instance": "trial", "app.kubernetes.io/component": "ray"}
CALLERS = {
    "head": RAY,
    "worker": RAY,
    **{name: RAY | {"app.kubernetes.io/component": name} for name in ("client", "mlflow", "database", "storage")},
    "stranger": {"app": "stranger"},
}


def allows(policies: list[Object], called: Object, port: int, caller: Object | None, namespace: str) -> bool:
    """Whether a pod with labels `called` hears a caller, by labels in its own namespace or by another namespace."""
    meant = [each["spec"] for each in policies if each["spec"]["podSelector"]["matchLabels"].items() <= called.items()]
    if not meant:
        return True
    rules = [rule for spec in meant for rule in spec.get("ingress", [])]
    fitting = [rule for rule in rules if {"port": port} in rule.get("ports", [{"port": port}])]
    peers = [peer for rule in fitting for peer in rule["from"]]
    if caller is None:
        wanted = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        return wanted in peers
    return any(peer["podSelector"]["matchLabels"].items() <= caller.items() for peer in peers if "podSelector" in peer)


@pytest.mark.parametrize("target", PORTS)
@pytest.mark.parametrize("caller", [*CALLERS, "operator", "elsewhere"])
def test_only_those_that_need_it_reach(helms, caller, target):
    policies = of_kind(objects_of(helms[0], "ci/default-values.yaml"), "NetworkPolicy")
    called = CALLERS["head" if target == "gcs" else target]
    namespace = {"operator": "kuberay-system"}.get(caller, "elsewhere")
    assert allows(policies, called, PORTS[target], CALLERS.get(caller), namespace) == (
        # Ray's pods talk to each other on every port.
        (caller, target) in MAY or (caller, target) == ("head", "head")
    )


def test_clients_and_an_ingress_are_let_in_where_asked_for(helms):
    policies = of_kind(objects_of(helms[0], "ci/ingress-values.yaml"), "NetworkPolicy")
    for namespace, head, mlflow in [("notebooks", True, True), ("ingress-nginx", False, True), ("other", False, False)]:
        assert allows(policies, CALLERS["head"], 8265, None, namespace) == head
        assert allows(policies, CALLERS["mlflow"], 5000, None, namespace) == mlflow
        assert not allows(policies, CALLERS["database"], 5432, None, namespace)
    policies = of_kind(objects_of(helms[0], "ci/metrics-values.yaml"), "NetworkPolicy")
    assert allows(policies, CALLERS["worker"], 8080, None, "observability")
    assert not allows(policies, CALLERS["worker"], 8265, None, "observability")


def test_what_keeps_data_calls_nobody_and_nobody_gets_a_machines_keys(helms):
    policies = of_kind(objects_of(helms[0], "ci/default-values.yaml"), "NetworkPolicy")
    egress = {each["metadata"]["name"]: each["spec"].get("egress") for each in policies}
    assert egress["trial-database"] is None
    assert egress["trial-storage"] is None
    for name in ("trial-ray", "trial-mlflow", "trial-client"):
        (rule,) = egress[name]
        blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
        assert {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]} in blocks
        assert {"cidr": "::/0", "except": ["fd00:ec2::254/128"]} in blocks


@pytest.mark.parametrize("file", FILES)
def test_policies_are_of_pods_that_there_are_and_leave_none_out(helms, file):
    found = objects_of(helms[0], file)
    policies = of_kind(found, "NetworkPolicy")
    if not policies:
        return
    labels = [pod["metadata"]["labels"] for pod in pods(found)]
    selectors = [each["spec"]["podSelector"]["matchLabels"] for each in policies]
    assert all(any(selector.items() <= each.items() for each in labels) for selector in selectors)
    assert all(any(selector.items() <= each.items() for selector in selectors) for each in labels)
