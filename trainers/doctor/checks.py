"""What `trainers doctor` looks at, one function for each: what it found, what is wrong with it, and how to mend it."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil

from trainers.errors import RequestError
from trainers.experiment import Experiment, Storage
from trainers.storage import check_storage, local_folder, on_s3

PACKAGES = {"trainers": "trainers", "Ray": "ray", "PyTorch": "torch", "torchvision": "torchvision", "MLflow": "mlflow"}
GIB = 2**30
# Below these a job may start and then fail. 64 MB of shared memory is what Docker gives a container unless told
# otherwise; a pack of 25,000 images of 224 px takes 3.8 GB; PyTorch and Ray take 1 GiB before they do anything.
LEAST_SHM, LEAST_DISK, LEAST_MEMORY = GIB // 2, 5 * GIB, GIB
MOST_SKEW = 60.0  # seconds; S3 refuses requests that are 15 minutes off


@dataclass(frozen=True)
class Finding:
    """A line of the table: what was looked at and found; if something is wrong, what, and how to mend it."""

    name: str
    found: str
    problem: str = ""
    fix: str = ""


def versions() -> Iterator[Finding]:
    """Python and the packages that a job needs."""
    yield Finding("Python", platform.python_version())
    for name, package in PACKAGES.items():
        try:
            yield Finding(name, version(package))
        except PackageNotFoundError:
            yield Finding(
                name, "", "is not installed", "install the project's dependencies (make setup), or use its image"
            )


def machine(options: Storage) -> list[Finding]:
    """This machine's memory, shared memory, GPUs, and the disk on which packs are kept."""
    rows = [memory(), *shared_memory(_size_of("/dev/shm")), gpus()]
    with suppress(RequestError):  # told by the row of storage
        folder = local_folder(options)
        rows.append(disk(folder, shutil.disk_usage(folder).free))
    return rows


def memory() -> Finding:
    """What this process may use of the machine's memory."""
    import torch

    from trainers.engine.limits import memory_of

    all_of_it = memory_of(torch.device("cpu"))  # heeds a container's limit
    free = min(all_of_it, psutil.virtual_memory().available)
    found = f"{free / GIB:.1f} of {all_of_it / GIB:.1f} GiB free"
    if free >= LEAST_MEMORY:
        return Finding("memory", found)
    return Finding(
        "memory", found, "too little to start a worker", "end other programs, or raise the container's limit"
    )


def shared_memory(size: int | None) -> Iterator[Finding]:
    """The size in bytes of /dev/shm, which Ray and NCCL use between processes; None: there is none, as on macOS."""
    if size is None:
        return
    found = f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.0f} MiB"
    if size >= LEAST_SHM:
        yield Finding("/dev/shm", found)
    else:
        fix = "docker run --shm-size=2g; Compose: shm_size; Kubernetes: an emptyDir with medium Memory there"
        yield Finding("/dev/shm", found, "too small for several workers", fix)


def disk(folder: Path, free: int) -> Finding:
    """Room for packs and what is fetched, in bytes."""
    found = f"{free / GIB:.0f} GiB free in {folder}"
    if free >= LEAST_DISK:
        return Finding("disk", found)
    return Finding(
        "disk", found, f"less than {LEAST_DISK // GIB} GiB for packs", "make room, or set storage.path or .cache"
    )


def gpus() -> Finding:
    """GPUs, and whether PyTorch can use those that the driver sees; none is fine."""
    import torch

    seen, driver = _driver()
    if torch.cuda.is_available():
        names = sorted({torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())})
        return Finding(
            "GPUs", f"{torch.cuda.device_count()} × {', '.join(names)}, driver {driver}, CUDA {torch.version.cuda}"
        )
    if not seen:
        return Finding("GPUs", "none")
    found = f"{seen}, driver {driver}"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # as Ray does it for tasks that ask for none
        return Finding("GPUs", f"{found}, hidden from this process")
    if torch.version.cuda is None:
        fix = "install the PyTorch with CUDA (an image built without TORCH_INDEX has it)"
    else:
        fix = f"install a driver for CUDA {torch.version.cuda}"
    return Finding("GPUs", found, "PyTorch cannot use them", fix)


def storage(options: Storage) -> Finding:
    """`storage.path`, written, read and removed."""

    def use() -> str:
        started = time.perf_counter()
        check_storage(options)
        where = options.path if on_s3(options) else local_folder(options)
        return f"{where}, written and read in {time.perf_counter() - started:.2f} s"

    return _tried("storage", options.path, use)


def tracking(experiment: Experiment) -> Finding:
    """MLflow: reached, logged in, its schema current."""
    from trainers.tracking import check_lasting, connect, shown, tracking_uri
    from trainers.tracking.client import sqlite_file

    def use() -> str:
        check_lasting(experiment)
        uri = tracking_uri(experiment.tracking.uri, local_folder(experiment.storage))
        file = sqlite_file(uri)
        if file is not None and not file.exists():
            return f"{uri}, which the first run makes"
        connect(uri)
        return f"{shown(uri)} answers and lets us in"

    return _tried("tracking", "", use)


def clock(skews: Mapping[str, float | None]) -> Finding:
    """This machine's clock against those of servers.

    Args:
        skews: by how many seconds each server is ahead, by its URL; None: it does not say.
    """
    known = {url: skew for url, skew in skews.items() if skew is not None}
    if not known:
        return Finding("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    url, skew = max(known.items(), key=lambda item: abs(item[1]))
    if abs(skew) <= MOST_SKEW:
        return Finding("clock", f"as that of {', '.join(known)}")
    found = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} {url}"
    return Finding("clock", found, "S3 refuses requests that are 15 minutes off", "set the clock, best by NTP")


def ahead(url: str) -> float | None:
    """By how many seconds an HTTP server's clock is ahead of this machine's; None: it does not say (RFC 9110, Date)."""
    before = time.time()
    with suppress(OSError, ValueError, OverflowError, HTTPException):  # of the URL, the connection, what comes back
        try:
            with urlopen(Request(url, method="HEAD"), timeout=5) as answer:
                date = answer.headers["Date"]
        except HTTPError as error:  # an answer as well
            date = error.headers["Date"]
        if date is not None:
            # It has whole seconds, and was written somewhere between question and answer.
            return parsedate_to_datetime(date).timestamp() + 0.5 - (before + time.time()) / 2
    return None


def servers(experiment: Experiment) -> Sequence[str]:
    """The HTTP servers that a job would talk to."""
    from trainers.tracking import shown

    uri = experiment.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    s3 = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    return [shown(uri)] * uri.startswith("http") + [s3] * on_s3(experiment.storage)


def _tried(name: str, what: str, use: Callable[[], str]) -> Finding:
    """The row of something that is used as a job would use it; a refusal ends in what to do."""
    try:
        return Finding(name, use())
    except RequestError as error:
        problem, _, fix = str(error).partition("; ")
        return Finding(name, what, problem, fix or "see docs/doctor.md")


def _size_of(path: str) -> int | None:
    return shutil.disk_usage(path).total if Path(path).exists() else None


def _driver() -> tuple[int, str]:
    """How many GPUs NVIDIA's driver sees, and its version; 0 without one."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount()), str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return 0, ""
