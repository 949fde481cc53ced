"""Options of where it runs, and where things are kept."""

from typing import Annotated, Literal

from pydantic import Field

from trainers.experiment.section import Name, Section


class Scale(Section):
    """Where it runs."""

    workers: Annotated[int, Field(ge=0, le=4096)] | None = Field(
        None, description="Ray Train workers; unset, one per GPU, else one per node; 0: in this process, without Ray"
    )
    device: Literal["auto", "cpu", "gpu"] = Field("auto", description="auto: GPUs if there are some")
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = Field(
        None, description="CPU cores per worker; unset, the cluster's cores are shared out"
    )
    sync_batchnorm: bool = Field(
        False, description="BatchNorm normalises over all workers' samples (GPUs only); unset, over each worker's own"
    )
    max_failures: Annotated[int, Field(ge=0)] = Field(3, description="how often a lost worker is replaced")


class Storage(Section):
    """Where things are kept."""

    path: str = Field(
        "runs", description="for packs, checkpoints, runs and the local MLflow store: a folder, or s3://bucket/prefix"
    )
    cache: str | None = Field(
        None,
        description="with a path on S3, the folder of each machine for packs and what is fetched; unset, "
        "~/.cache/trainers",
    )


class Tracking(Section):
    """What is recorded, and where."""

    uri: str | None = Field(
        None, description="MLflow tracking URI; unset, MLFLOW_TRACKING_URI, else SQLite in storage.path"
    )
    experiment: str | None = Field(None, description="MLflow experiment; unset, the job's name")
    model: Name | None = Field(None, description="name of the registered model; unset, the job's name")
    system_metrics: bool = Field(True, description="record CPU, memory, disk, network and GPU use")


class Log(Section):
    """What is printed."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug also lets Ray and MLflow speak"
    )
