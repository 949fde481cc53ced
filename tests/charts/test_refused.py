"""Wrong values are refused before anything is installed, each with words that name the value."""

import pytest
from rendered import Refused, objects_with

GROUP = {"replicas": 1, "sharedMemory": "1Gi", "resources": {"limits": {"cpu": 1, "memory": "2Gi"}}}


def workers(**changes: object) -> dict[str, object]:
    return {"ray": {"workers": {"cpu": changes}}}


def group(name: str, **changes: object) -> dict[str, object]:
    return {"ray": {"workers": {name: {**GROUP, **changes}}}}


# What the schema refuses: the values, and what the message names.
MISTAKES = {
    "a misspelt value": ({"mlfow": {}}, "mlfow"),
    "a misspelt value deep down": ({"ray": {"head": {"resource": {}}}}, "resource"),
    "a misspelt value of a group": (group("gpu", replica=2), "replica"),
    "a number that is text": (workers(replicas="two"), "replicas"),
    "a negative number": (workers(replicas=-1), "replicas"),
    "half a worker": (workers(replicas=1.5), "replicas"),
    "text that is no truth": ({"mlflow": {"ingress": {"enabled": "yes"}}}, "enabled"),
    "a size without a unit": ({"cache": {"size": "50"}}, "size"),
    "a size of its own spelling": ({"cache": {"size": "50GB"}}, "size"),
    "an unknown resource": (workers(resources={"limits": {"cpus": 1}}), "cpus"),
    "an unknown mode": ({"cache": {"mode": "hostPath"}}, "mode"),
    "a group's name with capitals": (group("GPU"), "GPU"),
    "a group's name that is too long": (group("g" * 31), "g" * 31),
    "a group without resources": ({"ray": {"workers": {"gpu": {"replicas": 1}}}}, "resources"),
    "the tag latest": ({"image": {"tag": "latest"}}, "tag"),
    "a short digest": ({"image": {"digest": "sha256:abc"}}, "digest"),
    "a bucket in capitals": ({"storage": {"bucket": "Trainers"}}, "bucket"),
    "an endpoint without http": ({"storage": {"endpoint": "s3.example.com"}}, "endpoint"),
    "a toleration's misspelling": ({"placement": {"tolerations": [{"keys": "a"}]}}, "keys"),
    "a number as a variable": ({"ray": {"env": {"A": 1}}}, "env"),
    "a job's name with a path": ({"job": {"name": "../catsdogs"}}, "name"),
    "a blocked address without its width": ({"networkPolicy": {"blocked": ["169.254.169.254"]}}, "blocked"),
    "a version with a v": ({"ray": {"version": "v2.60.0"}}, "version"),
    "a patience below nothing": ({"ray": {"autoscaling": {"idleTimeoutSeconds": -1}}}, "idleTimeoutSeconds"),
}

# What the chart's own rules refuse, most of which the operator would refuse long after the installation.
RULES = {
    "min above max": (
        workers(minReplicas=3, maxReplicas=2),
        "ray.workers.cpu: minReplicas 3 is more than maxReplicas 2",
    ),
    "replicas above max": (workers(replicas=5, minReplicas=0, maxReplicas=4), "replicas 5 is not between"),
    "replicas below min": (workers(replicas=0, minReplicas=1, maxReplicas=4), "replicas 0 is not between"),
    "no group": ({"ray": {"workers": {"cpu": None}}}, "ray.workers: there is no group"),
    "a group named as the head's": (group("headgroup"), "ray.workers.headgroup"),
    "patience without an autoscaler": (workers(idleTimeoutSeconds=60), "needs ray.autoscaling.enabled=true"),
    "no cores": (group("gpu", resources={"limits": {"memory": "2Gi"}}), "limits.cpu (or requests.cpu) is missing"),
    "no memory": (group("gpu", resources={"limits": {"cpu": 1}}), "limits.memory is missing"),
    "too much shared memory": (group("gpu", sharedMemory="2Gi"), "is not less than limits.memory 2Gi"),
    "too little shared memory": (group("gpu", sharedMemory="64Mi"), "give 150Mi at least"),
    "too much shared memory on the head": ({"ray": {"head": {"sharedMemory": "8Gi"}}}, "ray.head.sharedMemory"),
    "an old Ray": ({"ray": {"version": "2.53.0"}}, "2.53.0 is too old"),
    "no time to stop jobs": ({"ray": {"terminationGracePeriodSeconds": 60}}, "are 90"),
    "a variable of the chart": ({"ray": {"env": {"RAY_AUTH_TOKEN": "x"}}}, "ray.env.RAY_AUTH_TOKEN"),
    "a variable of the operator": ({"ray": {"env": {"RAY_REDIS_ADDRESS": "x"}}}, "ray.env.RAY_REDIS_ADDRESS"),
    "an autoscaler by variable": ({"ray": {"env": {"RAY_enable_autoscaler_v2": "1"}}}, "ray.env.RAY_enable_autoscaler"),
    "a password for no Redis": ({"ray": {"faultTolerance": {"existingSecret": "a"}}}, "there is no redisAddress"),
    "two stores": ({"storage": {"endpoint": "https://s3.example.com"}}, "set storage.bundled.enabled=false"),
    "no secret for a store": ({"storage": {"bundled": {"enabled": False}}}, "storage.existingSecret"),
    "two databases": ({"database": {"existingSecret": "a"}}, "set database.bundled.enabled=false"),
    "no secret for a database": ({"database": {"bundled": {"enabled": False}}}, "database.existingSecret"),
    "a claim of no use": ({"cache": {"existingClaim": "a"}}, "needs cache.mode shared, not emptyDir"),
    "an ingress without a name": ({"mlflow": {"ingress": {"enabled": True}}}, "mlflow.ingress.host"),
    "metrics of nothing": ({"metrics": {"enabled": True}, "ray": {"enabled": False}}, "metrics.enabled"),
    "a name too long": ({"fullnameOverride": "n" * 39}, "has 39 characters, 38 are possible"),
    "a name that begins with a digit": ({"fullnameOverride": "1st"}, "must begin with a letter"),
    "a name with capitals": ({"fullnameOverride": "Trainers"}, "must begin with a letter"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_schema_refuses(helms, mistake):
    values, named = MISTAKES[mistake]
    for program in helms:
        with pytest.raises(Refused) as refused:
            objects_with(program, values)
        assert named in str(refused.value)
        assert "values don't meet the specifications of the schema" in str(refused.value)


@pytest.mark.parametrize("rule", RULES)
def test_the_chart_refuses(helms, rule):
    values, words = RULES[rule]
    with pytest.raises(Refused) as refused:
        objects_with(helms[0], values)
    assert words in str(refused.value)
