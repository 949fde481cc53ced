"""What goes to a cluster with a job: its code, its settings, and no path, address or secret of this machine."""

import io
import zipfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import pytest

from trainers import config
from trainers.cli.evaluate import Evaluate
from trainers.cli.export import Export
from trainers.cli.predict import Predict
from trainers.errors import RequestError
from trainers.origin import SENT_BY
from trainers.remote.package import LIMIT, pack
from trainers.remote.send import Command, Where, _work
from trainers.remote.travel import check, check_sender, environment


@pytest.fixture
def job(tmp_path) -> Path:
    """A job in a folder of its own, with its experiment beside it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "cats.py").write_text("import helpers\n")
    (folder / "cats.yaml").write_text("name: cats\n")
    (folder / "helpers.py").write_text("ONE = 1\n")
    return folder / "cats.py"


def names(job: Path, experiment: Path | None = None) -> set[str]:
    with zipfile.ZipFile(io.BytesIO(pack(job, experiment or job.with_suffix(".yaml")).content)) as archive:
        return set(archive.namelist())


def test_the_job_its_experiment_and_the_modules_beside_it_are_sent(job):
    (job.parent / "parts" / "inner").mkdir(parents=True)
    for name in ("parts/__init__.py", "parts/net.py", "parts/inner/odd.py"):
        (job.parent / name).write_text("")
    sent = {"jobs/cats.py", "jobs/cats.yaml", "jobs/helpers.py", "jobs/parts/__init__.py", "jobs/parts/net.py"}
    assert names(job) == sent
    assert (
        pack(job, job.with_suffix(".yaml")).about == "jobs/cats.py, jobs/cats.yaml and 3 modules beside them (0.0 kB)"
    )


def test_data_hidden_files_links_and_other_experiments_stay_here(job, tmp_path):
    (tmp_path / "elsewhere.py").write_text("")
    for name in (".env", ".hidden.py", "photo.png", "secrets.yaml"):
        (job.parent / name).write_text("secret")
    (job.parent / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    (job.parent / "linked").symlink_to(tmp_path)
    assert names(job) == {"jobs/cats.py", "jobs/cats.yaml", "jobs/helpers.py"}


def test_an_experiment_from_elsewhere_takes_the_place_of_the_jobs_own(job, tmp_path):
    (tmp_path / "best.yaml").write_text("name: best\n")
    package = pack(job, tmp_path / "best.yaml")
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        assert archive.read("jobs/cats.yaml") == b"name: best\n"


def test_the_same_files_make_the_same_package(job):
    before = pack(job, job.with_suffix(".yaml"))
    (job.parent / "helpers.py").touch()
    assert pack(job, job.with_suffix(".yaml")) == before
    (job.parent / "helpers.py").write_text("ONE = 2\n")
    assert pack(job, job.with_suffix(".yaml")).name != before.name


def test_what_is_too_big_to_be_code_is_refused_with_its_name(job):
    (job.parent / "weights.py").write_bytes(b"#" * LIMIT)
    with pytest.raises(RequestError, match=r"the code beside cats.py is 10.0 MB \(\S+/weights.py alone 10.0 MB\)"):
        pack(job, job.with_suffix(".yaml"))


def work_of(job: Path, *argv: str, verb: str = "train", url: str = "http://head:8265", **environ: str):
    command = Command(job, job.with_suffix(".yaml"), verb, argv, environment((), environ))
    return _work(command, pack(job, command.config), Where(url, None))


def test_the_name_of_a_job_says_what_it_is_and_depends_on_all_that_is_sent(job):
    first = work_of(job, "--seed", "1")
    assert first.name.startswith("cats-train-")
    assert work_of(job, "--seed", "1", url="http://127.0.0.1:9999").name == first.name
    others = [
        work_of(job, "--seed", "2").name,
        work_of(job, "--seed", "1", verb="plan").name,
        work_of(job, "--seed", "1", AWS_REGION="eu").name,
    ]
    (job.parent / "helpers.py").write_text("ONE = 2\n")
    others.append(work_of(job, "--seed", "1").name)
    assert len({first.name, *others}) == 5


def test_flags_for_this_machine_stay_here(job):
    here = (
        "--on",
        "http://h:1",
        "--token=t",
        "--pass_env",
        "A",
        "--pass-env=B",
        "--summary",
        "s.json",
        "--config",
        "c.yaml",
    )
    argv = work_of(job, "a b.png", *here, "--seed=1", "--json", verb="predict").argv
    assert argv == ["python", "jobs/cats.py", "predict", "a b.png", "--seed=1", "--json", "--summary", "-"]


def test_the_way_back_names_the_cluster_and_the_token_as_they_were_given():
    assert Where(None, None).command("stop", "x") == "trainers jobs stop x"
    where = Where("http://h:1", "my token")
    assert where.command("follow", "x", Path("s.json")) == (
        "trainers jobs follow x --on http://h:1 --token 'my token' --summary s.json"
    )


def named(reference: str | None = None, to: Path | None = None, paths: Sequence[str] = ()) -> list[tuple]:
    """What the flags of verbs name: of the one that has them all."""
    verb = Export() if to else Predict() if paths else Evaluate()
    return list(verb.named(Namespace(reference=reference, to=to, paths=paths)))


def complaints(job: Path, *flags: str, environ: dict[str, str] | None = None, **given) -> list[str]:
    _, tree = config.parse(config.Parser(prog="job"), flags)
    with pytest.raises(RequestError) as caught:
        check(config.load(job.with_suffix(".yaml"), tree), tree, named(**given), environ or {})
    return str(caught.value).splitlines()


LOCAL = [
    (("--data.source", "folder", "--data.path", "photos"), {}, "data.path: photos "),
    (("--model.weights", "old.safetensors"), {}, "model.weights: old.safetensors "),
    (("--storage.path", "runs"), {}, "storage.path: runs "),
    (("--storage.cache", "cache"), {}, "storage.cache: cache "),
    (("--tracking.uri", "sqlite:///runs/mlflow.db"), {}, "tracking.uri: sqlite:///runs/mlflow.db "),
    ((), {"reference": "runs/model"}, "--from: runs/model "),
    ((), {"to": Path("exported")}, "--to: exported "),
    ((), {"paths": ["cat.png"]}, "predict: cat.png "),
]


@pytest.mark.parametrize(("flags", "given", "told"), LOCAL)
def test_a_path_of_this_machine_is_refused_before_anything_is_sent(job, flags, given, told):
    (line,) = complaints(job, *flags, **given)
    assert line.startswith(told)
    assert "which the cluster cannot see; " in line


def test_all_such_paths_are_told_at_once(job):
    assert len(complaints(job, "--model.weights", "w.pt", paths=["a.png", "b.png"])) == 3


def test_a_file_that_is_named_as_a_number_is_still_a_file(job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("12").write_text("")
    assert complaints(job, paths=["12"])[0].startswith("predict: 12 is a path")


def test_a_storage_folder_of_the_environment_is_refused_and_one_of_the_file_left_to_the_cluster(job):
    assert complaints(job, environ={"TRAINERS__STORAGE__PATH": "runs"})[0].startswith("storage.path: runs ")
    job.with_suffix(".yaml").write_text("storage: {path: mine}\n")
    check(config.load(job.with_suffix(".yaml"), {}), {}, environ={})


def test_a_local_store_of_the_environment_is_left_here_and_does_not_stop_the_job(job, monkeypatch):
    monkeypatch.setenv("TRAINERS__TRACKING__URI", "sqlite:///runs/mlflow.db")
    check(config.load(job.with_suffix(".yaml"), {}), {})
    assert environment().left == ("TRAINERS__TRACKING__URI",)


def test_what_the_cluster_can_see_is_let_through(job):
    flags = (
        "--data.source=folder", "--data.path=s3://b/p", "--model.weights=/shared/w.pt", "--storage.path=/shared/runs",
        "--tracking.uri=sqlite:////shared/mlflow.db",
    )  # fmt: skip
    _, tree = config.parse(config.Parser(prog="job"), flags)
    experiment = config.load(job.with_suffix(".yaml"), tree)
    answered = ["/shared/a.png", "https://e.org/a.png", "0.5,-2", "-1e-3"]
    for reference in ("models:/cats/1", "models:/cats@champion", "/shared/model", None):
        check(experiment, tree, named(reference, Path("/shared/exported")), {})
        check(experiment, tree, named(reference, paths=answered), {})
    check(experiment, tree, named("weights"), {})


def test_settings_travel_and_secrets_do_not():
    settings = {"TRAINERS__SEED": "1", "MLFLOW_TRACKING_URI": "http://mlflow:5000", "AWS_ENDPOINT_URL": "http://s3:7070",
                "AWS_DEFAULT_REGION": "eu", "AWS_REGION": "eu"}  # fmt: skip
    secrets = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "MLFLOW_TRACKING_PASSWORD": "c", "HOME": "/root"}
    sent = environment((), settings | secrets)
    assert sent.values == settings
    assert sent.left == ()
    assert not any(value in repr(sent) for value in settings.values())


@pytest.mark.parametrize(
    "uri",
    ["http://localhost:5000", "http://127.0.0.1:5000", "http://127.9.9.9", "http://[::1]:5000", "sqlite:///runs/mlflow.db",
     "file:///runs", "mlruns"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "TRAINERS__TRACKING__URI", "AWS_ENDPOINT_URL"])
def test_an_address_of_this_machine_is_left_to_the_cluster(name, uri):
    sent = environment((), {name: uri})
    assert (sent.values, sent.left) == ({}, (name,))


def test_the_cache_of_this_machine_is_left_to_the_cluster():
    assert environment((), {"TRAINERS__STORAGE__CACHE": "/home/me/.cache"}).left == ("TRAINERS__STORAGE__CACHE",)


def test_named_variables_are_passed_and_their_names_told():
    sent = environment(["TOKEN", "MLFLOW_TRACKING_URI"], {"TOKEN": "x", "MLFLOW_TRACKING_URI": "http://localhost"})
    assert sent.values == {"TOKEN": "x", "MLFLOW_TRACKING_URI": "http://localhost"}
    assert (sent.passed, sent.left) == (("TOKEN", "MLFLOW_TRACKING_URI"), ())


def test_a_named_variable_that_is_not_set_is_refused():
    with pytest.raises(RequestError, match=r"^--pass-env TOKEN: no such variable is set here$"):
        environment(["TOKEN"], {})


@pytest.mark.parametrize("uri", ["http://me:hidden@mlflow:5000", "postgresql://me:hidden@db/mlflow"])
def test_an_address_with_a_password_is_refused_and_not_printed(job, uri):
    with pytest.raises(RequestError) as caught:
        environment((), {"MLFLOW_TRACKING_URI": uri})
    told = [str(caught.value), *complaints(job, "--tracking.uri", uri)]
    assert all("MLFLOW_TRACKING_PASSWORD" in line and "hidden" not in line for line in told)


class Warned:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)


def test_a_sent_job_does_not_store_what_it_makes_in_a_folder_that_is_thrown_away(job):
    experiment = config.load(job.with_suffix(".yaml"), {})
    check_sender(experiment, Warned(), {})
    with pytest.raises(RequestError, match=r"^storage.path: runs would lie in this job's own folder"):
        check_sender(experiment, Warned(), {SENT_BY: "0.1.0"})


def test_a_sent_job_tells_that_its_sender_has_another_version(job):
    _, tree = config.parse(config.Parser(prog="job"), ["--storage.path", "s3://b/p"])
    display = Warned()
    check_sender(config.load(job.with_suffix(".yaml"), tree), display, {SENT_BY: "9.9.9"})
    assert display.lines == ["sent by trainers 9.9.9, but this cluster has 0.1.0: options may differ"]
