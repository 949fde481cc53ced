"""A cluster of several nodes: what fits on them, what may come, and whether each of them could do the work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nodes import nodes
from running import SMALL, summary_of

LIMITS = json.dumps([{"name": "cpu", "cpus": 2, "gpus": 0, "max": 3}])


@pytest.fixture(scope="module")
def cluster():
    """With a token and without a dashboard."""
    with nodes(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="t" * 32) as running:
        yield running


@pytest.fixture
def on_cluster(cluster, photos, call, tmp_path):
    """Runs a job that joins the cluster."""

    def run(verb: str, *arguments: object, code: int = 0, **environment: str) -> str:
        data = ("--data.source", "folder", "--data.path", photos, *SMALL)
        joined = cluster.environment | {"RAY_ADDRESS": cluster.address} | environment
        return call(verb, *data, *arguments, code=code, **joined).output

    return run


def test_two_nodes_train_together_and_the_head_does_not(on_cluster, tmp_path):
    output = on_cluster("train", "--scale.workers", 2, "--summary", "summary.json")
    assert "runs on     2 workers × 1 CPU core" in output
    assert "epoch 2/2" in output
    assert summary_of(tmp_path / "summary.json")["world_size"] == 2


@pytest.mark.parametrize("verb", ["plan", "train"])
def test_what_no_node_can_hold_is_refused_at_once_with_the_sum(verb, on_cluster):
    output = on_cluster(verb, "--scale.workers", 1, "--scale.cpus-per-worker", 2, code=2)
    refusal = "scale.workers: 1 worker × 2 cores do not fit: there are 2 nodes of 1 core, 1 node of no cores"
    assert f"error: {refusal}" in output.splitlines()
    assert "Traceback" not in output


def test_plan_says_what_the_cluster_has_and_may_get(on_cluster):
    output = on_cluster("plan", "--scale.workers", 3, "--scale.cpus-per-worker", 2, TRAINERS_CLUSTER_LIMITS=LIMITS)
    there = "2 nodes of 1 core, 1 node of no cores"
    assert f"cluster     {there}; there can be 3 cpu nodes of 2 cores" in output
    assert f"waits       3 of 3 workers must wait for new nodes: there are {there}; there can be 3 cpu nodes" in output
    output = on_cluster(
        "plan", "--scale.workers", 4, "--scale.cpus-per-worker", 2, code=2, TRAINERS_CLUSTER_LIMITS=LIMITS
    )
    assert "4 workers × 2 cores do not fit: there can be at most 3 cpu nodes of 2 cores" in output


HOLD = """
from ray.util import placement_group

def wait_for_free(cores):
    while ray.available_resources().get("CPU", 0) != cores:
        time.sleep(0.1)

wait_for_free(2)  # a job before may still be giving them back
ray.get(placement_group([{"CPU": 1}]).ready())
wait_for_free(1)  # so it is known to all
print("holds")
input()
"""
WAIT = """
import logging, threading
from ray.util import placement_group, placement_group_table
from trainers.cluster import Resources, joined_cluster, telling_waits
from trainers.cluster.waits import _waits

class Listener(logging.Handler):
    def emit(self, record):
        if not told.is_set():
            print(record.getMessage())
        told.set()

told = threading.Event()
logging.getLogger("trainers").addHandler(Listener())
job = ray.get_runtime_context().get_job_id()
assert not _waits(placement_group_table(), job)
group = placement_group([{"CPU": 1}] * 2)
with telling_waits(Resources(2, 1, gpu=False), pause=0.1):
    told.wait()
    ray.get(group.ready())
    print("waits" if _waits(placement_group_table(), job) else "waits no longer")
"""


def test_who_waits_for_what_others_have_taken_is_told_so(cluster):
    holder = cluster.start(HOLD)
    assert holder.stdout.readline() == "holds\n"
    waiter = cluster.start(WAIT)
    assert re.fullmatch(
        r"\d+ s without room for 2 workers × 1 CPU core: busy: other jobs have taken 1 of 2 cores; .*\n",
        waiter.stdout.readline(),
    )
    holder.communicate("\n")
    assert waiter.communicate()[0] == "waits no longer\n"


def test_a_node_with_other_versions_or_without_an_answer_is_named(cluster, tmp_path):
    (tmp_path / "runs").mkdir()
    output = cluster.run(f"""
from pathlib import Path
from trainers.cluster import nodes_check
from trainers.experiment import Storage
options = Storage(path="{tmp_path}/runs")
patient = 3600.0

def keep_waiting(options):
    while not Path("{tmp_path}/enough").exists():
        time.sleep(0.1)

answers = nodes_check.ask_nodes(options, seconds=patient)
print(len(answers), {{answer.complaint for answer in answers}})
print(nodes_check.ask_nodes(options, keep_waiting, seconds=1)[0].complaint)
Path("{tmp_path}/enough").touch()
here = nodes_check._versions()
nodes_check._versions = lambda: here | {{"torch": "1.0"}}
print(nodes_check.ask_nodes(options, seconds=patient)[0].complaint)
""")
    fine, silent, other = output.splitlines()
    assert fine == "3 {''}"
    assert re.fullmatch(r"node \S+ does not answer within 1 s; see what it does in Ray's dashboard", silent)
    assert re.fullmatch(r"torch: node \S+ has 2\S+, the job 1.0; all need the same image", other)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_that_a_node_does_not_see_is_refused(cluster, on_cluster, tmp_path):
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("unshare --mount is not allowed")
    folder = tmp_path / "runs"
    folder.mkdir()
    elsewhere = cluster.add(["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$@"', "sh"])
    try:
        refusal = rf"storage\.path: node \S+ does not see {folder}; give a folder that all machines share, or s3://"
        assert re.search(f"error: {refusal}", on_cluster("train", code=2))
        done = subprocess.run(
            [Path(sys.executable).with_name("trainers"), "doctor", "--storage", folder],
            env=cluster.environment | {"RAY_ADDRESS": cluster.address}, capture_output=True, text=True,
        )  # fmt: skip
    finally:
        cluster.remove(elsewhere)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^ok +cluster +3 nodes of 1 core, 1 node of no cores$", done.stdout, re.MULTILINE)
    assert len(re.findall(r"^(?:ok|problem) +node ", done.stdout, re.MULTILINE)) == 4
    assert len(re.findall(rf"storage\.path: node \S+ does not see {folder}\n", done.stdout)) == 1
