"""Where storage is, and what is said where it cannot be used: one line, and never a key."""

import pytest
from s3server import KEY, SECRET, refusing

from trainers.errors import RequestError
from trainers.experiment import Experiment, Storage
from trainers.storage import check_storage, local_folder
from trainers.tracking import check_lasting
from trainers.tracking.journal import NAME, SENT, sent

S3 = Storage(path="s3://kept/runs")


def complaint(options: Storage = S3) -> str:
    with pytest.raises(RequestError) as caught:
        check_storage(options)
    message = str(caught.value)
    assert "\n" not in message
    assert KEY not in message
    assert SECRET not in message
    return message


def test_a_folder_is_its_own_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_folder(Storage()) == tmp_path / "runs"
    assert local_folder(Storage(cache=str(tmp_path / "cache"))) == tmp_path / "runs"
    check_storage(Storage())
    assert list((tmp_path / "runs").iterdir()) == []


def test_with_s3_a_machine_works_in_its_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_folder(S3) == tmp_path / ".cache" / "trainers"
    assert local_folder(S3.model_copy(update={"cache": "~/mine"})) == tmp_path / "mine"


def test_a_submitted_job_takes_a_relative_folder_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_JOB_SUBMISSION_ID", "raysubmit_1")
    assert local_folder(Storage()) == tmp_path / "trainers" / "runs"


@pytest.mark.parametrize(("options", "option"), [(Storage(path="{}/file"), "path"), (S3, "cache")])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, options, option):
    (tmp_path / "file").touch()
    value = str(tmp_path / "file")
    message = complaint(options.model_copy(update={option: value}))
    assert message == f"storage.{option}: {value} cannot be written (File exists)"


@pytest.fixture
def cached(tmp_path):
    return S3.model_copy(update={"cache": str(tmp_path / "cache")})


def test_what_can_be_used_is_left_as_it_was(s3, cached):
    check_storage(cached)
    check_storage(cached.model_copy(update={"path": "s3://kept"}))
    assert s3.names("kept") == []


def test_a_missing_bucket_is_told(s3, cached):
    message = complaint(cached.model_copy(update={"path": "s3://other/runs"}))
    assert message.startswith("storage.path: s3://other/runs: no such bucket at 127.0.0.1:")


def test_missing_keys_are_told(s3, cached, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in complaint(cached)


def test_half_a_key_is_told(s3, cached, monkeypatch):
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in complaint(cached)


def test_an_endpoint_that_is_no_address_is_told(s3, cached, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "localhost")
    assert "check the address and AWS_ENDPOINT_URL" in complaint(cached)


def test_a_host_that_is_away_is_told(s3, cached, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{KEY}:{SECRET}@127.0.0.1:1")
    assert "127.0.0.1:1 cannot be reached or broke off; check AWS_ENDPOINT_URL" in complaint(cached)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "AccessDenied", "must allow s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"),
        (403, "InvalidAccessKeyId", "does not accept the keys (InvalidAccessKeyId)"),
        (403, "SignatureDoesNotMatch", "does not accept the keys (SignatureDoesNotMatch)"),
        (403, "RequestTimeTooSkewed", "another time than this machine (RequestTimeTooSkewed); set the clock"),
        (403, "RequestExpired", "another time than this machine (RequestExpired); set the clock"),
        (503, "SlowDown", "is too busy or not ready (it answers SlowDown, 3 times); try again later"),
        (503, "ServiceUnavailable", "is too busy or not ready (it answers ServiceUnavailable, 3 times)"),
        (404, "NoSuchBucket", "no such bucket"),
        (418, "Teapot", "answers Teapot"),
    ],
)
def test_what_the_server_refuses_is_told(s3, cached, monkeypatch, status, code, expected):
    with refusing(status, code) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert expected in complaint(cached)


def test_that_nothing_may_be_written_is_told_where_reading_is_allowed(s3, cached, monkeypatch):
    with refusing(403, "AccessDenied", methods=("PUT",)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        message = complaint(cached)
    assert message.startswith("storage.path: s3://kept/runs/.probe-")
    assert "access denied by 127.0.0.1:" in message


def test_what_is_not_s3_is_told(s3, cached, monkeypatch):
    with refusing(200, "", methods=()) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert "what was written cannot be read back" in complaint(cached)


def test_records_that_would_be_lost_with_a_container_are_refused(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    experiment = Experiment(storage=S3)
    check_lasting(experiment)  # a laptop
    monkeypatch.setenv("RAY_JOB_SUBMISSION_ID", "raysubmit_1")
    with pytest.raises(RequestError, match=r"tracking\.uri: is unset, and SQLite on this node"):
        check_lasting(experiment)
    check_lasting(Experiment())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there:5000")
    check_lasting(experiment)


def test_a_journal_of_a_moment_before_its_mark_was_sent_as_a_whole(tmp_path):
    (tmp_path / NAME).write_bytes(b"x" * 50)
    (tmp_path / SENT).write_text("80")
    assert sent(tmp_path) == 50
