"""The registry: what is registered is found, fetched, and predicts in another process, without pickle."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from recording import Server, record

from trainers import tracking
from trainers.errors import RequestError, WorkError
from trainers.tracking import Version, register


def test_a_model_is_registered_found_and_fetched_without_pickle(uri: str, tmp_path: Path, bundle: Path) -> None:
    recorder = record(uri, tmp_path)
    tags = {"test_fingerprint": "f1", "classes": "cat,dog"}
    first = register(uri, recorder.run_id, bundle, "found", {"test_accuracy": 0.75}, tags, "a classifier")
    second = register(uri, recorder.run_id, bundle, "found", {"test_accuracy": 0.5}, tags)
    recorder.finish("FINISHED")
    assert (first, second) == (Version("found", "1"), Version("found", "2"))

    assert tracking.find_version(uri, "found") == second, "without a champion the latest"
    tracking.connect(uri).set_registered_model_alias("found", "champion", "1")
    assert [
        str(tracking.find_version(uri, name)) for name in ("found", "models:/found@champion", "models:/found/2")
    ] == ["models:/found/1", "models:/found/1", "models:/found/2"]
    listed = tracking.versions(uri, "found")
    assert [(found.version, found.aliases, found.metrics) for found in listed] == [
        ("2", (), {"accuracy": 0.5}),
        ("1", ("champion",), {"accuracy": 0.75}),
    ]
    assert listed[0].run_id == recorder.run_id

    fetched = tracking.fetch(uri, "found", tmp_path / "models")
    assert {file.name: file.read_bytes() for file in fetched.iterdir()} == {
        file.name: file.read_bytes() for file in bundle.iterdir()
    }
    assert tracking.fetch(uri, first, tmp_path / "models") == fetched


def test_what_is_not_registered_is_told_with_what_is(sqlite: str, tmp_path: Path, bundle: Path) -> None:
    recorder = record(sqlite, tmp_path)
    register(sqlite, recorder.run_id, bundle, "there", {}, {})
    recorder.finish("FINISHED")

    for reference, words in {
        "nowhere": r"nothing is registered as `nowhere` at sqlite.*\(registered: .*there",
        "models:/there/7": r"no models:/there/7 at sqlite.*\(versions: 1\)",
        "models:/there@best": r"no models:/there@best at sqlite.*\(versions: 1\)",
        "models:/a/b/c": "is not NAME, models:/NAME/VERSION or models:/NAME@ALIAS",
    }.items():
        with pytest.raises(RequestError, match=words):
            tracking.fetch(sqlite, reference, tmp_path)
    assert tracking.versions(sqlite, "nowhere") == []


def test_a_model_goes_to_the_store_and_the_run_that_are_named_whatever_mlflow_has_set(
    sqlite: str, server: Server, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    recorders = [record(uri, tmp_path) for uri in (sqlite, server.uri) for _ in range(2)]
    with ThreadPoolExecutor() as threads:
        found = list(
            threads.map(lambda one: register(one.uri, one.run_id, bundle, "at-once", {"test_f1": 0.5}, {}), recorders)
        )

    for recorder, version in zip(recorders, found, strict=True):
        client = tracking.connect(recorder.uri)
        assert client.get_model_version("at-once", version.version).run_id == recorder.run_id
        [output] = client.get_run(recorder.run_id).outputs.model_outputs
        model = client.get_logged_model(output.model_id)
        assert (model.experiment_id, model.source_run_id) == (recorder.experiment_id, recorder.run_id)
        assert [(metric.key, metric.value) for metric in model.metrics] == [("test_f1", 0.5)]
        assert client.get_run(recorder.run_id).info.status == "RUNNING", "its end is the recorder's to tell"
        recorder.finish("FINISHED")
    assert mlflow.get_tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/other.db"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_model_that_cannot_be_stored_is_told_in_one_line_and_no_version_is_made(tmp_path: Path, bundle: Path) -> None:
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    recorder = record(uri, tmp_path)
    (tmp_path / "store" / "artifacts").write_text("in the way")

    with pytest.raises(WorkError, match="registry: `lost` could not be registered at sqlite") as caught:
        register(uri, recorder.run_id, bundle, "lost", {}, {})

    assert "\n" not in str(caught.value)
    assert tracking.versions(uri, "lost") == []
    models = tracking.connect(uri).search_logged_models([recorder.experiment_id])
    assert [str(model.status) for model in models] == ["FAILED"]
    recorder.finish("FINISHED")


def test_a_registered_model_predicts_in_a_fresh_process_without_pickle_or_a_crash(sqlite: str, tmp_path: Path) -> None:
    from PIL import Image
    from safetensors.torch import save_file

    from trainers.data import open_pack
    from trainers.experiment import Data, Experiment
    from trainers.models import build
    from trainers.tasks import describe

    for name, shade in {"cat": 40, "dog": 200}.items():
        for number in range(4):
            Image.new("RGB", (9, 9), (shade,) * 3).save(tmp_path / f"{name}.{number}.png")
    experiment = Experiment(data=Data(source="dogs-vs-cats", path=str(tmp_path), image_size=16))
    pack = open_pack(experiment.data, tmp_path / "storage")
    made = tmp_path / "trained"
    made.mkdir()
    save_file(build(experiment.model, pack.shape, 2).module.state_dict(), made / "weights.safetensors")
    (made / "model.json").write_text(json.dumps(describe(experiment, pack)))
    recorder = record(sqlite, tmp_path)
    version = register(sqlite, recorder.run_id, made, "predicts", {}, {})
    recorder.finish("FINISHED")
    place = tracking.connect(sqlite).get_model_version_download_uri(version.name, version.version)
    files = [file.suffix for file in Path(place.removeprefix("file://")).rglob("*") if file.is_file()]
    assert ".safetensors" in files
    assert ".pkl" not in files

    Image.new("RGB", (80, 60), (200, 10, 30)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    script = (
        "import json, sys, warnings; import mlflow, pandas as pd\n"
        "mlflow.set_tracking_uri(sys.argv[1]); model = mlflow.pyfunc.load_model(sys.argv[2])\n"
        "paths = ['good.png', 'bad.png', 'missing.png']\n"
        "by_path = model.predict(pd.DataFrame({'path': paths}, index=[5, 6, 7]))\n"
        "by_bytes = model.predict(pd.DataFrame({'bytes': [open(name, 'rb').read() for name in paths[:2]]}))\n"
        "assert list(by_path.index) == [5, 6, 7]\n"
        "assert by_path.label.tolist()[1:] == [None, None]\n"
        "print(json.dumps([by_path.to_dict('records'), by_bytes.to_dict('records')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:trainers", "-c", script, sqlite, str(version)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert done.returncode == 0, done.stderr
    by_path, by_bytes = json.loads(done.stdout)
    assert by_path[0]["label"] in ("cat", "dog")
    assert by_path[0]["error"] is None
    assert by_path[0]["probability"] == max(by_path[0]["probabilities"])
    assert sum(by_path[0]["probabilities"]) == pytest.approx(1.0, abs=1e-5)
    assert [bool(row["error"]) for row in by_path] == [False, True, True]
    assert by_path[2]["error"] == "No such file or directory"
    assert by_bytes[0] == by_path[0]
    assert by_bytes[1]["error"]
