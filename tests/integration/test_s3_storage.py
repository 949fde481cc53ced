"""Jobs whose storage is on S3: nothing is lost with a machine, and what is wrong with S3 is told before anything runs.

Against versitygw, a real S3 server, where there is one, and moto's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from running import SMALL, clean_environment, run_here, summary_of
from s3server import KEY, S3, SECRET, emptied, moto, refusing, versity
from safetensors.torch import load

RUNS = "s3://kept/runs"
QUICK = ("--tracking.system-metrics", "false", "--scale.cpus-per-worker", 1)
ALONE = (*QUICK, "--scale.workers", 0)


@pytest.fixture(scope="module")
def gateway(versitygw, tmp_path_factory):
    with versity(versitygw, tmp_path_factory.mktemp("s3") / "buckets") as server:
        yield server


@pytest.fixture(scope="module", params=["moto", "versitygw"])
def server(request):
    if request.param == "versitygw":
        yield request.getfixturevalue("gateway")
        return
    with moto() as server:
        yield server


@pytest.fixture
def s3(server, monkeypatch):
    with emptied(server, monkeypatch):
        yield server


# For what takes long: the real server, or moto's where there is none.
ONE_SERVER = pytest.mark.parametrize("server", ["versitygw" if shutil.which("versitygw") else "moto"], indirect=True)


@pytest.fixture
def one(tmp_path):
    """The flags and the environment of a command on a machine with a cache of its own."""

    def on_machine(name: str, s3: S3) -> dict[str, str]:
        return {
            **s3.environment,
            "TRAINERS__STORAGE__PATH": RUNS,
            "TRAINERS__STORAGE__CACHE": str(tmp_path / name),
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        }

    return on_machine


def weights(s3: S3, checkpoint: str) -> dict[str, torch.Tensor]:
    return load(s3.content(f"{checkpoint}/weights.safetensors"))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@ONE_SERVER
def test_a_killed_run_goes_on_on_another_machine_with_the_same_bits(s3, one, start, call, hold, tmp_path):
    flags = ("train", *ALONE, "--training.epochs", 20)
    call(*flags, "--summary", "whole.json", job="spiral", **one("undisturbed", s3))
    job = start(*flags, job="spiral", **one("first", s3), **hold.before("epoch-0004").environment)
    name = job.read_until("run  ").split()[1]
    job.read_until("epoch  3/20")
    job.kill()
    shutil.rmtree(tmp_path / "first")
    again = call("train", "--resume", name, "--summary", "again.json", job="spiral", **one("second", s3))
    goes_on = int(re.search(r"goes on after epoch (\d+)", again.output)[1])
    assert goes_on in (2, 3)  # the last upload may have been under way
    assert [int(epoch) for epoch in re.findall(r"^epoch +(\d+)/20", again.output, re.M)] == [*range(goes_on + 1, 21)]
    whole, resumed = summary_of(tmp_path / "whole.json"), summary_of(tmp_path / "again.json")
    assert resumed["checkpoint"].startswith(f"{RUNS}/training/{name}/checkpoints/epoch-")
    assert resumed["metrics"] == whole["metrics"]
    assert same(weights(s3, resumed["checkpoint"]), weights(s3, whole["checkpoint"]))
    assert f"pictures    {RUNS}/training/{name}/pictures" in again.output
    kept = {key.removeprefix(f"runs/training/{name}/") for key in s3.names("kept", f"runs/training/{name}/")}
    assert {"experiment.yaml", "layers.txt", "journal.jsonl", "journal.sent", "pictures/curves.png"} <= kept
    run = client_of(tmp_path).get_run(resumed["run_id"])
    assert (run.info.run_name, run.info.status) == (name, "FINISHED")
    # By its MLflow id it is found as well, on a machine that has never seen it; there is nothing left to train.
    call("train", "--resume", resumed["run_id"], "--summary", "third.json", job="spiral", **one("third", s3))
    assert same(weights(s3, summary_of(tmp_path / "third.json")["checkpoint"]), weights(s3, whole["checkpoint"]))


def client_of(folder: Path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{folder}/mlflow.db")


def test_a_run_that_is_not_there_is_told_with_those_that_are(s3, one, call):
    s3.client.put_object(Bucket="kept", Key="runs/training/spiral-261122-120000-abcd/experiment.yaml", Body=b"")
    job = call("train", "--resume", "nothing", job="spiral", code=2, **one("machine", s3))
    expected = f"error: --resume: no run nothing in {RUNS}/training; the last are spiral-261122-120000-abcd\n"
    assert job.output == expected


def test_photos_and_models_on_s3_are_used_where_they_are(s3, one, photos, tmp_path, monkeypatch):
    for file in photos.rglob("*.png"):
        key = f"photos/{file.relative_to(photos).as_posix()}"
        s3.client.put_object(Bucket="kept", Key=key, Body=file.read_bytes())
    for name, value in one("trainer", s3).items():
        monkeypatch.setenv(name, value)
    data = ("--data.source", "folder", "--data.path", "s3://kept/photos", *SMALL)
    run_here("catsdogs", *data, *ALONE, "--summary", "summary.json", cwd=tmp_path)
    summary = summary_of(tmp_path / "summary.json")
    assert summary["model"] == {"name": "catsdogs", "version": "1", "alias": "champion"}
    monkeypatch.setenv("TRAINERS__STORAGE__CACHE", str(tmp_path / "user"))
    source = ("--from", summary["checkpoint"])
    many = run_here("catsdogs", "predict", "s3://kept/photos/bright", *source, cwd=tmp_path)
    assert len([line for line in many.splitlines() if line.startswith("s3://kept/photos/bright/")]) == 60
    first = run_here("catsdogs", "predict", "s3://kept/photos/bright/000.png", *source, "--json", cwd=tmp_path)
    champion = run_here("catsdogs", "predict", photos / "bright" / "000.png", "--json", cwd=tmp_path)
    answers = [json.loads(output.splitlines()[-1]) for output in (first, champion)]
    assert answers[0]["probabilities"] == answers[1]["probabilities"]
    absent = run_here("catsdogs", "predict", "s3://kept/photos/none.png", *source, cwd=tmp_path, code=1)
    assert "unreadable: no longer there" in absent
    measured = run_here("catsdogs", "evaluate", *data, *ALONE, *source, cwd=tmp_path)
    (pictures,) = re.findall(r"^pictures    s3://kept/(\S+)$", measured, re.MULTILINE)
    assert {Path(key).name for key in s3.names("kept", pictures)} == {"confusion.png", "predictions.png"}
    exported = run_here("catsdogs", "export", *source, cwd=tmp_path)
    (place,) = re.findall(r"^weights     s3://kept/(\S+?),", exported, re.MULTILINE)
    assert s3.names("kept", place) == [place]
    nothing = run_here("catsdogs", "predict", "1.png", "--from", f"{RUNS}/training", cwd=tmp_path, code=2)
    assert nothing == f"error: --from: {RUNS}/training holds no trained model (model.json and weights.safetensors)\n"


def test_a_range_test_and_the_samples_of_a_gan_are_kept(s3, one, tiny, tmp_path, monkeypatch):
    for name, value in one("machine", s3).items():
        monkeypatch.setenv(name, value)
    digits = ("--data.path", tiny.digits, *ALONE, "--training.batch-size", 32)
    output = run_here("mnist", "find-lr", *digits, cwd=tmp_path)
    (picture,) = re.findall(r"^picture     s3://kept/(\S+)$", output, re.MULTILINE)
    assert picture in s3.names("kept")
    assert picture.replace("rates.png", "rates.csv") in s3.names("kept")
    run_here("gan", *digits, "--training.epochs", 1, "--gan.samples", 64, cwd=tmp_path)
    assert any("/classifiers/" in key and key.endswith("weights.safetensors") for key in s3.names("kept"))
    output = run_here("gan", "predict", "3", cwd=tmp_path)
    (picture,) = re.findall(r"^64 samples  s3://kept/(\S+)$", output, re.MULTILINE)
    assert picture in s3.names("kept")


def ranks(s3: S3, meeting: Path, first: Path, second: Path, until: int) -> list[dict]:
    """What two ranks with a cache each were told."""
    command = [sys.executable, Path(__file__).with_name("s3_rank.py")]
    environment = clean_environment() | s3.environment | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank), meeting, cache, str(until)], env=environment, stdout=subprocess.PIPE)
        for rank, cache in enumerate((first, second))
    ]
    try:
        return [json.loads(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:  # one would wait long for another that has failed
            process.kill()


@ONE_SERVER
def test_ranks_on_machines_that_share_nothing_go_on_from_s3(s3, tmp_path):
    whole, _ = ranks(s3, tmp_path / "a", tmp_path / "1", tmp_path / "2", 0)
    s3.remove("kept")
    s3.client.create_bucket(Bucket="kept")
    begun, _ = ranks(s3, tmp_path / "b", tmp_path / "3", tmp_path / "4", 2)
    assert not list((tmp_path / "4").rglob("checkpoints"))
    rest, other = ranks(s3, tmp_path / "c", tmp_path / "5", tmp_path / "6", 0)
    assert rest["restored"] == other["restored"] == 2
    assert begun["losses"] | rest["losses"] == whole["losses"]
    assert rest["tested"] == whole["tested"]


SWEEP = ("tune", *QUICK, "--search.scheduler", "none", "--training.epochs", 3, "--search.space",
         json.dumps({"optimizer.lr": {"grid": [0.001, 0.003, 0.01, 0.03]}}))  # fmt: skip


@ONE_SERVER
def test_a_sweep_goes_on_on_another_machine(s3, one, start, call, hold, tmp_path):
    held = hold.before("-00[23]/checkpoints/epoch-0002").environment
    job = start(*SWEEP, job="spiral", **one("first", s3), **held)
    name = job.read_until("sweep  ").split()[1].rstrip(":")
    job.read_until("trial 2/4")
    job.kill()
    shutil.rmtree(tmp_path / "first")
    again = call("tune", "--resume", name, "--summary", "summary.json", job="spiral", **one("second", s3))
    goes_on = int(re.search(r"goes on after (\d) trial", again.output)[1])
    assert goes_on <= 2  # the record on S3 may be one piece of news behind
    summary = summary_of(tmp_path / "summary.json")
    assert (summary["sweep"]["finished"], summary["model"]["version"]) == (4, "1")
    assert summary["checkpoint"].startswith(f"{RUNS}/training/{name}-00")
    assert weights(s3, summary["checkpoint"])
    assert f"table       {RUNS}/sweeps/{name}/trials.csv" in again.output
    kept = {key.rpartition("/")[2] for key in s3.names("kept", f"runs/sweeps/{name}/")}
    assert {"sweep.yaml", "trials.jsonl", "trials.csv", "trials.png", "best.yaml", "journal.jsonl"} <= kept
    runs = client_of(tmp_path).search_runs([client_of(tmp_path).get_experiment_by_name("spiral").experiment_id])
    # A record that was opened in the moment of the kill may be left.
    finished = [run.info.run_name for run in runs if run.info.status == "FINISHED"]
    assert sorted(finished) == [name, *(f"{name}-{number:03d}" for number in range(4))]
    third = call("tune", "--resume", name, "--summary", "third.json", job="spiral", **one("third", s3))
    assert "trial 1/4" not in third.output
    assert summary_of(tmp_path / "third.json")["model"] == summary["model"]


@ONE_SERVER
def test_population_based_training_hands_checkpoints_on_through_s3(s3, one, call, tmp_path):
    space = json.dumps({"optimizer.lr": {"loguniform": [1e-5, 0.5]}})
    # Never all at a time, however many cores there are: else the worst may have ended before the best begin.
    cores = max(1, len(os.sched_getaffinity(0)) // 2)
    population = ("--search.scheduler", "pbt", "--search.trials", 4, "--search.grace", 1, "--training.epochs", 4,
                  "--schedule.name", "constant", "--scale.cpus-per-worker", cores)  # fmt: skip
    job = call("tune", *QUICK, *population, "--search.space", space, "--summary", "summary.json", job="spiral",
               **one("machine", s3))  # fmt: skip
    summary = summary_of(tmp_path / "summary.json")
    assert summary["sweep"]["finished"] == 4, job.output
    assert weights(s3, summary["checkpoint"])
    name = summary["sweep"]["name"]
    assert [key for key in s3.names("kept", "runs/ray/") if not key.endswith("/")] == []
    runs = client_of(tmp_path).search_runs([client_of(tmp_path).get_experiment_by_name("spiral").experiment_id])
    changed = [tag for run in runs for tag in run.data.tags if re.fullmatch(r"after_epoch_\d\.optimizer\.lr", tag)]
    assert changed, f"none of {name} went on with the weights of another"


@ONE_SERVER
def test_two_workers_train_a_run_that_is_kept_on_s3(s3, one, call, photos, tmp_path):
    data = ("--data.source", "folder", "--data.path", photos, *SMALL, *QUICK, "--scale.workers", 2)
    job = call(*data, "--summary", "summary.json", **one("machine", s3))
    summary = summary_of(tmp_path / "summary.json")
    assert (summary["status"], summary["world_size"]) == ("FINISHED", 2)
    assert weights(s3, summary["checkpoint"])
    assert "warning" not in job.output
    assert SECRET not in job.output


FAULTS = {
    "a wrong secret": ({"AWS_SECRET_ACCESS_KEY": f"{SECRET}-not"}, "does not accept the keys (SignatureDoesNotMatch)"),
    "a wrong key": ({"AWS_ACCESS_KEY_ID": f"{KEY}-not"}, "does not accept the keys (XAdminUserNotFound)"),
    "no keys": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no keys; set AWS_ACCESS_KEY_ID"),
    "a missing bucket": ({"TRAINERS__STORAGE__PATH": "s3://missing/runs"}, "no such bucket at 127.0.0.1:"),
    "a host that is away": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "127.0.0.1:1 cannot be reached"),
}


@pytest.fixture
def machine(gateway, one, monkeypatch):
    """The environment of a machine that uses the real server."""
    for name, value in one("machine", gateway).items():
        monkeypatch.setenv(name, value)


def refused(tmp_path: Path, verb: str, *flags: object) -> str:
    """The one line that is said; nothing was begun."""
    output = run_here("spiral", verb, *flags, cwd=tmp_path, code=2)
    assert output.startswith("error: storage.path: s3://")
    assert output.count("\n") == 1
    assert KEY not in output
    assert SECRET not in output
    assert list((tmp_path / "machine").rglob("*")) == []
    return output


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_s3_is_told_before_anything_is_begun(machine, tmp_path, monkeypatch, fault):
    changes, expected = FAULTS[fault]
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    assert expected in refused(tmp_path, "plan")


@pytest.mark.parametrize("command", [["train"], ["tune"], ["find-lr"], ["evaluate"], ["train", "--resume", "a-run"]])
def test_every_verb_that_stores_something_tells_it(machine, tmp_path, monkeypatch, command):
    monkeypatch.setenv("TRAINERS__STORAGE__PATH", "s3://missing/runs")
    assert "no such bucket" in refused(tmp_path, *command)


def test_a_clock_that_is_wrong_is_told(machine, tmp_path, monkeypatch):
    import botocore.auth

    now = botocore.auth.get_current_datetime
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *which: now(*which) + timedelta(hours=3))
    assert "has another time than this machine (RequestTimeTooSkewed); set the clock" in refused(tmp_path, "train")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [(503, "SlowDown", "is too busy or not ready (it answers SlowDown"), (403, "AccessDenied", "access denied by")],
)
def test_a_server_that_is_busy_or_allows_nothing_is_told(machine, tmp_path, monkeypatch, status, code, expected):
    with refusing(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert expected in refused(tmp_path, "train")


def test_a_server_that_goes_away_fails_the_run_and_says_where_the_weights_are(one, tmp_path, versitygw, start, hold):
    with versity(versitygw, tmp_path / "buckets") as server:
        server.client.create_bucket(Bucket="kept")
        held = hold.before("epoch-0003").environment
        job = start("train", *ALONE, "--training.epochs", 12, job="spiral", **one("machine", server), **held)
        job.read_until("epoch  2/12")
    hold.release()
    assert job.wait() == 1
    last = job.lines[-1]
    assert last.startswith(f"error: storage.path: {RUNS}/training/spiral-")
    assert "cannot be reached" in last
    (place,) = re.findall(r"the weights are in .*?([^ ,]+/epoch-0012) on", last)
    assert (Path(place) / "manifest.json").exists()
    assert "epoch 12/12" in job.output  # it went on as long as it could
