"""Whatever the chart is given, Helm 3 and 4 render it alike, and a cluster would take every object of it."""

import copy
import re
from itertools import pairwise

import pytest
from jsonschema import ValidationError
from rendered import CHART, FILES, helm, objects_of, objects_with, of_kind, pods
from schemas import check

RANDOM = re.compile(r"\b[A-Za-z0-9]{40}\b")  # a generated password


@pytest.mark.parametrize("file", FILES)
def test_lint_finds_nothing(helms, file):
    for program in helms:
        assert "0 chart(s) failed" in helm(program, "lint", str(CHART), "--strict", "--values", str(CHART / file))


@pytest.mark.parametrize("file", FILES)
def test_helm_3_and_4_render_the_same(helms, file):
    if len(helms) < 2:
        pytest.skip("there is only one Helm (TRAINERS_HELM)")
    rendered = [sorted(RANDOM.sub("*", str(each)) for each in objects_of(program, file)) for program in helms]
    assert all(one == other for one, other in pairwise(rendered))


@pytest.mark.parametrize("file", FILES)
def test_a_cluster_would_take_every_object(helms, crds, file):
    for thing in objects_of(helms[0], file):
        check(thing, crds)


@pytest.mark.parametrize("file", FILES)
def test_no_two_objects_have_one_name(helms, file):
    names = [(each["kind"], each["metadata"]["name"]) for each in objects_of(helms[0], file)]
    assert len(names) == len(set(names))


def test_a_misspelt_field_would_be_found(helms, crds):
    found = 0
    for thing in objects_of(helms[0], "ci/metrics-values.yaml"):
        wrong = copy.deepcopy(thing)
        part = wrong.get("spec")
        if not isinstance(part, dict):
            continue
        part["nonesuch"] = 1
        with pytest.raises(ValidationError, match="nonesuch"):
            check(wrong, crds)
        found += 1
    assert found > 10


def test_a_misspelt_field_deep_in_a_cluster_would_be_found(helms, crds):
    (cluster,) = (each for each in objects_of(helms[0], "ci/default-values.yaml") if each["kind"] == "RayCluster")
    wrong = copy.deepcopy(cluster)
    wrong["spec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["volumemounts"] = []
    with pytest.raises(ValidationError, match="volumemounts"):
        check(wrong, crds)


@pytest.mark.parametrize("api", ["v1", "apps/v1", "ray.io/v1", "example.com/v1"])
def test_an_unknown_kind_would_be_found(crds, api):
    with pytest.raises(ValidationError, match="no kind Gadget"):
        check({"apiVersion": api, "kind": "Gadget", "metadata": {"name": "a"}}, crds)


def test_the_longest_name_fits_everywhere(helms, crds):
    """Kubernetes allows 63 characters where a name becomes a label or a host name; the operator adds its own."""
    longest = {"fullnameOverride": "n" * 38}
    for thing in objects_with(helms[0], {**longest, "job": {"enabled": True}}, "ci/metrics-values.yaml"):
        added = {"RayCluster": "-worker-abcde", "RayJob": "-abcde-head-svc", "StatefulSet": "-0123456789"}
        assert len(thing["metadata"]["name"] + added.get(thing["kind"], "")) <= 63
        if thing["kind"] == "RayJob":
            assert len(thing["metadata"]["name"]) <= 47
        check(thing, crds)


def test_kind_pulls_what_is_not_loaded_into_it(helms):
    for pod in pods(objects_of(helms[0], "values-kind.yaml")):
        for each in pod["spec"]["containers"] + pod["spec"].get("initContainers", []):
            assert (each["imagePullPolicy"] == "Never") == each["image"].startswith("trainers:"), each["name"]


def test_a_drain_waits_for_a_job_of_its_own_cluster_too(helms):
    alone = {"ray": {"enabled": False}, "job": {"enabled": True}}
    found = objects_with(helms[0], alone)
    budgets = {each["metadata"]["name"]: each["spec"] for each in of_kind(found, "PodDisruptionBudget")}
    labels = [pod["metadata"]["labels"] for pod in pods(found)]
    for name, least in (("trial-head", 1), ("trial-workers", 1)):
        assert budgets[name]["minAvailable"] == least
        assert any(budgets[name]["selector"]["matchLabels"].items() <= each.items() for each in labels)
