"""The main job in one process: trained, recorded, registered, evaluated, and used for predictions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from recording import until
from running import SMALL, Hold, Running, clean_environment, summary_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos):
    """A folder in which a job has run once: what came out of it, by name."""
    folder, hold = tmp_path_factory.mktemp("trained"), Hold(tmp_path_factory.mktemp("hold"))
    job = Running(
        ["--data.source", "folder", "--data.path", photos, *SMALL, "--training.epochs", "4", "--scale.workers", "0",
         "--optimizer.name", "adamw", "--optimizer.lr", "0.002", "--summary", "summary.json"],
        folder, **hold.before("epoch-0004").environment,
    )  # fmt: skip
    job.read_until("epoch 3/4")
    (journal,) = folder.glob("runs/training/*/journal.jsonl")
    until(lambda: "system/" in journal.read_text())  # the first sample comes after a second, on a fast machine too late
    hold.release()
    assert job.wait() == 0, job.output
    return folder, job.output, summary_of(folder / "summary.json")


def client_of(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")


def test_the_summary_has_exactly_the_promised_fields(trained):
    _, _, summary = trained
    assert list(summary) == [
        "run_id", "status", "model", "metrics", "seconds", "samples_per_second", "world_size", "global_batch",
        "micro_batch", "checkpoint", "sweep",
    ]  # fmt: skip
    assert list(summary["model"]) == ["name", "version", "alias"]
    assert list(summary["metrics"]) == ["train", "validation", "test"]
    assert list(summary["seconds"]) == ["plan", "pack", "start", "train", "evaluate", "register", "total"]
    assert all(seconds >= 0 for seconds in summary["seconds"].values())
    assert summary["status"] == "FINISHED"
    assert summary["model"] == {"name": "catsdogs", "version": "1", "alias": "champion"}
    assert (summary["world_size"], summary["global_batch"], summary["micro_batch"]) == (1, 16, 16)
    assert summary["metrics"]["test"]["accuracy"] > 0.9
    assert Path(summary["checkpoint"], "weights.safetensors").is_file()


def test_the_output_is_a_line_per_epoch_and_the_next_commands(trained):
    _, output, _ = trained
    assert [line[:9] for line in output.splitlines() if line.startswith("epoch")] == [
        f"epoch {n}/4" for n in (1, 2, 3, 4)
    ]
    assert "catsdogs.py predict PATH" in output
    assert "\x1b" not in output
    assert "Warning" not in output


def test_mlflow_has_the_whole_run(trained):
    folder, _, summary = trained
    client = client_of(folder)
    run = client.get_run(summary["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["data.image_size"] == "16"
    assert run.data.tags["data.unreadable"] == "0"
    assert len(run.data.tags["data.fingerprint"]) >= 16
    for name in ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy", "lr", "samples_per_second"):
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, name)] == [1, 2, 3, 4], name
    assert run.data.metrics["test/accuracy"] == pytest.approx(summary["metrics"]["test"]["accuracy"])
    assert any(name.startswith("system/") for name in run.data.metrics)
    found = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"experiment.yaml", "layers.txt", "pictures"} <= found
    pictures = {Path(artifact.path).name for artifact in client.list_artifacts(run.info.run_id, "pictures")}
    assert pictures == {"first-batch.png", "curves.png", "confusion.png", "predictions.png"}


LOAD = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/catsdogs@champion")
paths = sys.argv[2:]
by_path = model.predict(pd.DataFrame({"path": paths}))
by_bytes = model.predict(pd.DataFrame({"bytes": [open(path, "rb").read() for path in paths]}))
print(json.dumps([by_path["label"].tolist(), by_bytes["label"].tolist()]))
"""


def test_the_registered_model_loads_without_pickle_in_another_process_and_folder(trained, photos, tmp_path):
    folder, _, summary = trained
    images = [photos / "bright" / "000.png", photos / "dark" / "000.png"]
    result = subprocess.run(
        [sys.executable, "-I", "-c", LOAD, f"sqlite:///{folder}/runs/mlflow.db", *map(str, images)],
        cwd=tmp_path,
        env=clean_environment() | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout.splitlines()[-1]) == [["bright", "dark"]] * 2
    files = [path.name for path in (folder / "runs" / "artifacts").rglob("*") if path.is_file()]
    assert "weights.safetensors" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]
    version = client_of(folder).get_model_version("catsdogs", summary["model"]["version"])
    assert version.tags["classes"] == "bright,dark"


def test_predict_names_each_file_and_the_broken_one_with_its_cause(trained, photos, tmp_path, call):
    folder, _, _ = trained
    images = tmp_path / "images"
    images.mkdir()
    Image.open(photos / "bright" / "001.png").convert("RGB").save(images / "a.jpg")
    Image.open(photos / "dark" / "001.png").convert("L").save(images / "b.png")
    (images / "c.jpg").write_bytes((images / "a.jpg").read_bytes()[:200])
    job = call("predict", images, cwd=folder, code=1)
    lines = [line for line in job.output.splitlines() if line.startswith(str(images))]
    assert [line.split()[1] for line in lines] == ["bright", "dark", "unreadable:"]
    assert "truncated" in lines[2]
    assert "1 of 3 inputs could not be read" in job.output

    job = call("predict", "--json", images / "a.jpg", cwd=folder)
    (line,) = job.output.splitlines()
    answer = json.loads(line)
    assert answer["label"] == "bright"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_predict_takes_urls(trained, photos, call, tmp_path):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=photos)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        job = call("predict", f"{url}/dark/000.png", f"{url}/nothing.png", cwd=trained[0], code=1)
        server.shutdown()
    lines = job.output.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("http")] == ["dark", "unreadable:"]
    assert "not found" in job.output


def test_evaluate_repeats_the_test_metrics_of_the_run(trained, photos, call):
    folder, _, summary = trained
    data = ("--data.source", "folder", "--data.path", photos)
    call("evaluate", *data, "--summary", "evaluated.json", cwd=folder)
    assert summary_of(folder / "evaluated.json")["metrics"]["test"] == pytest.approx(
        summary["metrics"]["test"], abs=1e-5
    )
    job = call("evaluate", *data, "--split", "train", "--from", summary["checkpoint"], cwd=folder)
    assert "on train: accuracy" in job.output


def test_a_model_that_is_not_there_is_told_with_what_there_is(trained, call):
    job = call("predict", "x.png", cwd=trained[0], code=2)
    assert job.output == "error: x.png: no such file or folder\n"
    job = call(
        "predict", Path(__file__).parent / "conftest.py", "--from", "models:/catsdogs/99", cwd=trained[0], code=2
    )
    assert job.output.startswith("error: model: there is no models:/catsdogs/99 at ")
    assert "versions: 1, @champion" in job.output


def test_plan_says_what_would_run_and_spends_nothing(trained, photos, call):
    folder, _, _ = trained
    before = client_of(folder).search_registered_models()
    job = call("plan", "--data.source", "folder", "--data.path", photos, "--data.image-size", "16",
               "--training.batch-size", "16", "--scale.workers", "2", cwd=folder)  # fmt: skip
    for word in (
        "train",
        "validation",
        "test",
        "bright",
        "1,175,522 parameters",
        "multiply-adds per sample",
        "2 workers × 1 CPU core",
        "mlflow.db",
    ):
        assert word in job.output
    assert len(client_of(folder).search_registered_models()) == len(before)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data.source", "folder", "--data.path", "nowhere"], "nowhere"),
        (["--model.name", "resnet19"], "model.name: no network `resnet19`; did you mean"),
        (["--model.weights", "nowhere.pth"], "model.weights: no file nowhere.pth"),
        (
            ["--model.name", "alexnet", "--data.image-size", "16"],
            "data.image_size: alexnet cannot take images of 16 px",
        ),
        (["--training.batch-size", "4000"], "training.batch_size: 4000 is more than the 100 samples to train on"),
        (["--scale.device", "gpu"], "scale.device: gpu was asked for, but there is none"),
        (["--tracking.uri", "http://127.0.0.1:9"], "does not answer"),
        (["--resume", "0123"], "--resume: no run 0123 in"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(photos, call, flags, message):
    if flags[0] == "--scale.device" and Path("/dev/nvidia0").exists():
        pytest.skip("this machine has a GPU")
    data = [] if "--data.source" in flags else ["--data.source", "folder", "--data.path", photos]
    job = call(*data, *SMALL, *flags, "--scale.workers", "0", code=2)
    errors = [line for line in job.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, job.output
    assert message in errors[0]
    assert "Traceback" not in job.output


def test_a_run_that_diverges_fails_with_advice(photos, call, tmp_path):
    job = call("--data.source", "folder", "--data.path", photos, *SMALL, "--optimizer.lr", "1e9", "--schedule.name",
               "constant", "--model.batch-norm", "false", "--training.epochs", "20", "--scale.workers", "0",
               "--summary", "summary.json", code=1)  # fmt: skip
    assert "lower optimizer.lr (1e+09)" in job.output
    summary = summary_of(tmp_path / "summary.json")
    assert summary["status"] == "FAILED"
    assert client_of(tmp_path).get_run(summary["run_id"]).info.status == "FAILED"
