"""What of a command line and an environment can be meant on a remote cluster, and what only here."""

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import trainers
from trainers import config
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.origin import SENT_BY

# Settings that go with the job by their values; secrets are the cluster's own, or named by --pass-env.
SETTINGS = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION")
URIS = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "TRAINERS__TRACKING__URI")
OWN = "TRAINERS__STORAGE__CACHE"  # each machine has its own
PASSWORD = (
    "holds a password, which whoever may list the cluster's jobs could read; leave it out, and set "
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the cluster"
)


@dataclass(frozen=True)
class Environment:
    """Variables for a job.

    Attributes:
        values: what it gets.
        passed: the names among them that --pass-env asked for.
        left: the names of variables that mean this machine and are left to the cluster's own settings.
    """

    values: Mapping[str, str] = field(repr=False)
    passed: tuple[str, ...]
    left: tuple[str, ...]


def environment(pass_env: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Environment:
    """What of this shell's environment a job on the cluster gets.

    That is: TRAINERS__…, where MLflow and S3 are, and what is named. An address on this machine, such as that of a
    forwarded port, and a local store are left out: the cluster has its own.

    Args:
        pass_env: further names; their values may be read by whoever may list the cluster's jobs.

    Raises RequestError: a named variable is not set, or an address holds a password.
    """
    missing = [name for name in pass_env if name not in environ]
    if missing:
        raise RequestError("\n".join(f"--pass-env {name}: no such variable is set here" for name in missing))
    settings = {
        name: value
        for name, value in sorted(environ.items())
        if name in SETTINGS or (name.startswith(config.ENV_PREFIX) and name != OWN)
    }
    for name in URIS:
        if _has_password(settings.get(name, "")):
            raise RequestError(f"{name}: {PASSWORD}")
    left = [name for name in URIS if name in settings and _is_local(settings[name])]
    left += [OWN] if OWN in environ else []
    values = {name: value for name, value in settings.items() if name not in left}
    values |= {name: environ[name] for name in pass_env}
    return Environment(values, tuple(pass_env), tuple(name for name in left if name not in values))


def check(
    experiment: Experiment,
    flags: config.Tree,
    named: Iterable[tuple[str, str | None, str]] = (),
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Refuses paths of this machine, which the cluster cannot see. Absolute ones may be the cluster's: it will tell.

    Args:
        experiment: as this machine reads it.
        flags: of the options, as the command line has them.
        named: what else may be a path of this machine: flag, value, what to give for a cluster.

    Raises RequestError: with one line per mistake.
    """
    given = config.flatten(flags)
    storage = given.get("storage.path", environ.get("TRAINERS__STORAGE__PATH"))
    weights = None if experiment.model.weights in ("none", "imagenet") else experiment.model.weights
    options = [
        ("data.path", experiment.data.path, "give s3://BUCKET/PREFIX"),
        ("model.weights", weights, "give s3://BUCKET/OBJECT"),
        ("storage.path", storage, "give s3://BUCKET/PREFIX"),
        ("storage.cache", given.get("storage.cache"), "leave it out"),
    ]
    mistakes = [
        f"{option}: {value} is a path of this machine, which the cluster cannot see; {advice}, or give an absolute "
        "path that its machines have"
        for option, value, advice in [*options, *named]
        if value is not None and ":/" not in value and not Path(value).is_absolute()
    ]
    if experiment.tracking.uri != environ.get("TRAINERS__TRACKING__URI"):  # that is seen to in `environment`
        mistakes += _check_tracking(experiment.tracking.uri)
    if mistakes:
        raise RequestError("\n".join(mistakes))


def check_sender(experiment: Experiment, display: Display, environ: Mapping[str, str] = os.environ) -> None:
    """On the cluster: looks at what the sender of this job, if it was sent, could not know.

    Raises RequestError: what the job makes would be removed with its folder.
    """
    version = environ.get(SENT_BY)
    if version is None:
        return
    if version != trainers.__version__:
        display.warn(f"sent by trainers {version}, but this cluster has {trainers.__version__}: options may differ")
    path = experiment.storage.path
    if ":/" not in path and not Path(path).is_absolute():
        raise RequestError(
            f"storage.path: {path} would lie in this job's own folder, which Ray removes; give s3://BUCKET/PREFIX or "
            "an absolute path that all machines share, or set TRAINERS__STORAGE__PATH in the cluster"
        )


def _check_tracking(uri: str | None) -> Iterator[str]:
    if _has_password(uri or ""):
        yield f"tracking.uri: {PASSWORD}"
    elif uri is not None and re.match(r"sqlite:///(?!/)", uri):
        yield f"tracking.uri: {uri} is a file of this machine, which the cluster cannot see; leave it to the cluster"


def _has_password(uri: str) -> bool:
    try:
        return urlsplit(uri).password is not None
    except ValueError:
        return "@" in uri


def _is_local(uri: str) -> bool:
    """Whether an address means this machine: a file, or a port of its own."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme in ("", "file", "sqlite"):
        return True
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
