"""The model registry: registering what was trained, finding it again, fetching it."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers.errors import RequestError, WorkError
from trainers.tracking.client import connect, one_line, shown
from trainers.tracking.journal import now_ms
from trainers.tracking.signature import EXAMPLES, signature, takes

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
SCORE = "test_{}"  # tag of a version: a metric on the test split
FINGERPRINT = "test_fingerprint"  # tag of a version: which test split that was

# What a model needs to be loaded, besides trainers itself, which is on no public index and must be installed anyway.
_PACKAGES = ("mlflow", "numpy", "pandas", "pillow", "safetensors", "torch", "torchvision")


@dataclass(frozen=True)
class Version:
    """A version of a registered model; `str` of it is its URI."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class VersionInfo:
    """What a list of versions shows: metrics on the test split by name, `created` in milliseconds since 1970."""

    version: str
    aliases: tuple[str, ...]
    metrics: dict[str, float]
    run_id: str | None
    created: int


def preload() -> None:
    """Does once for nothing what `register` does on this machine: its imports and look-ups take two seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        bundle.mkdir()
        (bundle / "model.json").write_text("{}")
        _save(Path(scratch) / "model", bundle, model=None)


def register(
    uri: str,
    run_id: str,
    bundle: Path,
    name: str,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    description: str | None = None,
) -> Version:
    """Registers a bundle (see `trainers.tasks.bundle`) as a new version of the model `name`.

    The version is an MLflow pyfunc model (see `trainers.tracking.pyfunc_model`) that belongs to the run; it holds no
    pickle. Metrics and tags become tags of the version.

    Raises:
        RequestError: MLflow is away or refuses us.
        WorkError: it could not be registered.
    """
    client = connect(uri)
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.exceptions import MlflowException

    numbers = {key: float(value) for key, value in metrics.items()}
    try:
        logged = _log_model(client, run_id, bundle)
        of, stamp = {"model_id": logged.model_id, "run_id": run_id}, now_ms()
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        client.log_batch(
            run_id, [Metric(key, value, stamp, 0, **of) for key, value in numbers.items()], synchronous=True
        )
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # A server links the version to the model; without one, MLflow would look models:/… up in its global store.
        source = f"models:/{logged.model_id}" if uri.startswith("http") else logged.artifact_location
        made = client.create_model_version(name, source, tags={**numbers, **tags}, description=description, **of)
    except (MlflowException, OSError) as error:
        raise WorkError(
            f"registry: `{name}` could not be registered at {shown(uri)} ({one_line(error)}); "
            "the weights are safe in the run's folder"
        ) from error
    return Version(name, str(made.version))


def find_version(uri: str, reference: str) -> Version:
    """The version that is meant by `models:/NAME/VERSION`, `models:/NAME@ALIAS` or NAME: the champion, else the latest.

    Raises RequestError: there is none; the message names what there is.
    """
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    matched = re.fullmatch(r"(?:models:/)?([^/@]+)(?:/(\d+|latest)|@([\w-]+))?", reference)
    if not matched:
        raise RequestError(f"model: {reference} is not NAME, models:/NAME/VERSION or models:/NAME@ALIAS")
    name, number, alias = matched.groups()
    try:
        model = client.get_registered_model(name)
    except MlflowException:
        known = sorted(found.name for found in client.search_registered_models(max_results=20))
        raise RequestError(
            f"model: nothing is registered as `{name}` at {shown(uri)} ({_list('registered', known)})"
        ) from None
    there = [str(found.version) for found in _all_versions(client, name)]
    if number is None:
        number = model.aliases.get(alias or CHAMPION, None if alias else "latest")
    if number == "latest":
        number = there[0] if there else None
    if number is None or str(number) not in there:
        known = [*there[:20], *(f"@{found}" for found in sorted(model.aliases))]
        raise RequestError(f"model: there is no {reference} at {shown(uri)} ({_list('versions', known)})")
    return Version(name, str(number))


def fetch(uri: str, reference: str | Version, folder: Path) -> Path:
    """Downloads a version's bundle to a folder of its own under `folder`, once, and returns that.

    Raises:
        RequestError: there is no such version, or trainers did not make it.
        WorkError: it could not be downloaded.
    """
    version = reference if isinstance(reference, Version) else find_version(uri, reference)
    client = connect(uri)
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version(version.name, version.version)
        # The time keeps versions of the same number in two stores apart.
        target = folder / f"{version.name}-{version.version}-{found.creation_timestamp}"
        if target.is_dir():
            return target
        # Not by the URI models:/…: MLflow looks that up in its global registry, whatever it is told here.
        place = client.get_model_version_download_uri(version.name, version.version)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as aside:
            got = Path(download_artifacts(artifact_uri=f"{place}/artifacts", dst_path=aside, tracking_uri=uri))
            if not (got / "model.json").is_file():
                raise RequestError(f"model: {version} was not made by trainers; give another")
            try:
                got.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster, which is as good
                    raise
    except (MlflowException, OSError) as error:
        raise WorkError(f"model: {version} could not be fetched from {shown(uri)} ({one_line(error)})") from error
    return target


def versions(uri: str, name: str) -> list[VersionInfo]:
    """All versions of a registered model, the newest first; none if there is no such model."""
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException:
        return []
    return [
        VersionInfo(
            version=str(found.version),
            aliases=tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(found.version))),
            metrics=_metrics(found.tags),
            run_id=found.run_id or None,
            created=int(found.creation_timestamp),
        )
        for found in _all_versions(client, name)
    ]


def _metrics(tags: Mapping[str, str]) -> dict[str, float]:
    """The numbers among the tags of a version that say what it is worth."""
    prefix = SCORE.format("")
    return {
        key.removeprefix(prefix): float(value)
        for key, value in tags.items()
        if key.startswith(prefix) and key != FINGERPRINT
    }


def _all_versions(client: "MlflowClient", name: str) -> list[Any]:
    page = client.search_model_versions(f"name = '{name}'")
    found = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
        found += page
    return sorted(found, key=lambda version: -int(version.version))


def _log_model(client: "MlflowClient", run_id: str, bundle: Path) -> Any:
    """The bundle as a logged model of the run; READY once all of it is there.

    Not by `mlflow.pyfunc.log_model`: that uses MLflow's global store, which it also writes into the environment, and
    either begins and ends the run anew or puts the model into the Default experiment; and it loads the model to try it.
    """
    from mlflow.models import Model

    logged = client.create_logged_model(client.get_run(run_id).info.experiment_id, "model", source_run_id=run_id)
    place, model_id = logged.artifact_location, logged.model_id
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = Model(artifact_path=place, model_uuid=model_id, run_id=run_id, model_id=model_id)
            client.log_model_artifacts(model_id, str(_save(Path(scratch) / "model", bundle, model)))
        except BaseException:
            client.finalize_logged_model(model_id, "FAILED")
            raise
    client.finalize_logged_model(model_id, "READY")
    return logged


def _save(path: Path, bundle: Path, model: Any) -> Path:
    """The bundle as an MLflow model on disk: `MLmodel`, this package's loader code, `artifacts/` with the bundle."""
    import pandas as pd  # type: ignore[import-untyped]
    from mlflow import pyfunc

    description = json.loads((bundle / "model.json").read_text())
    column = next(iter(takes(description)))
    pyfunc.save_model(
        path=str(path),
        python_model=str(Path(__file__).with_name("pyfunc_model.py")),
        artifacts={file.name: str(file) for file in sorted(bundle.iterdir())},
        signature=signature(description),
        input_example=pd.DataFrame({column: EXAMPLES[column]}),
        # Given, because finding them out takes MLflow several seconds.
        pip_requirements=[f"{name}=={metadata.version(name).partition('+')[0]}" for name in _PACKAGES],
        mlflow_model=model,
    )
    return path


def _list(what: str, names: list[str]) -> str:
    return f"{what}: {', '.join(names)}" if names else f"{what}: none"
