"""What sending promises: all, in order, once, in requests that MLflow takes, and nothing blocks the rest."""

import logging
from pathlib import Path
from typing import Any

import pytest

from trainers.tracking.journal import Journal, now_ms, sent
from trainers.tracking.sender import LIMITS, Away, drain


class Store:
    """Stands in for MLflow: keeps what it is sent, refuses the name `bad`, and can be away."""

    def __init__(self) -> None:
        self.requests: list[dict[str, list[Any]]] = []
        self.statuses: list[tuple[str, int | None]] = []
        self.files: list[tuple[str, str | None]] = []
        self.away = False
        self.full_after: int | None = None

    def log_batch(self, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any], synchronous: bool) -> None:
        self._answer()
        if any(entity.key == "bad" for entity in (*metrics, *params, *tags)):
            raise ValueError("bad is no name")
        if self.full_after is not None and len(self.requests) >= self.full_after:
            self.away = True
            self._answer()
        self.requests.append({"metrics": metrics, "params": params, "tags": tags})

    def set_tag(self, run_id: str, key: str, value: str, synchronous: bool) -> None:
        self._answer()

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self._answer()
        self.statuses.append((status, end_time))

    def update_run(self, run_id: str, status: str) -> None:
        self._answer()
        self.statuses.append((status, None))

    def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
        self._answer()
        Path(path).read_bytes()
        self.files.append((path, folder))

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError("no route to host")

    def all(self, kind: str) -> list[Any]:
        return [entity for request in self.requests for entity in request[kind]]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def send(store: Any, journal: Journal) -> int:
    return drain(store, "run", journal.folder)


def test_steps_and_times_are_the_records_own_and_nothing_is_sent_twice(store: Store, journal: Journal) -> None:
    for step in range(3):
        journal.append("metrics", values={"loss": step / 2}, step=step, time=1000 + step)

    assert send(store, journal) == 3
    assert send(store, journal) == 0
    assert [(m.key, m.value, m.timestamp, m.step) for m in store.all("metrics")] == [
        ("loss", 0.0, 1000, 0),
        ("loss", 0.5, 1001, 1),
        ("loss", 1.0, 1002, 2),
    ]


def test_many_records_become_few_requests_within_mlflows_limits(store: Store, journal: Journal) -> None:
    for step in range(2500):
        journal.append("metrics", values={"loss": 1.0}, step=step)
    for number in range(15):
        journal.append("params", values={f"{number}.{place}": "x" * 6000 for place in range(20)})

    send(store, journal)

    assert [metric.step for metric in store.all("metrics")] == list(range(2500))
    assert len(store.all("params")) == 300
    for request in store.requests:
        assert all(len(request[kind]) <= limit for kind, limit in LIMITS.items())
        assert sum(len(param.value) for param in request["params"]) < 1_000_000
    assert len(store.requests) < 10


def test_a_tag_that_changes_is_sent_in_the_order_of_its_values(store: Store, journal: Journal) -> None:
    for value in "abc":
        journal.append("tags", values={"state": value, f"only {value}": value})

    send(store, journal)

    assert [tag.value for tag in store.all("tags") if tag.key == "state"] == ["a", "b", "c"]


def test_what_mlflow_refuses_is_named_and_left_out_and_the_rest_arrives(
    store: Store, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(50):
        journal.append("metrics", values={"loss": 1.0, **({"bad": 1.0} if step == 20 else {})}, step=step)

    with caplog.at_level(logging.WARNING, "trainers"):
        send(store, journal)

    assert [metric.step for metric in store.all("metrics")] == list(range(50))
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "tracking: MLflow refused bad (bad is no name)"
    ]


def test_a_damaged_line_and_a_missing_file_are_named_and_passed_over(
    store: Store, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.append("nonsense")
    journal.append("artifact", path="missing.png", folder=None)
    journal.append("tags", values={"a": "1"})

    with caplog.at_level(logging.WARNING, "trainers"):
        assert send(store, journal) == 3

    assert "a damaged line" in caplog.text
    assert "missing.png (no such file)" in caplog.text
    assert len(store.all("tags")) == 1


def test_files_are_found_although_the_runs_folder_has_moved(store: Store, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "before")
    (tmp_path / "before" / "curves.png").write_bytes(b"picture")
    journal.append("artifact", path="curves.png", folder="pictures")
    journal.close()
    (tmp_path / "before").rename(tmp_path / "after")

    drain(store, "run", tmp_path / "after")  # type: ignore[arg-type]

    assert store.files == [(str(tmp_path / "after" / "curves.png"), "pictures")]


def test_while_mlflow_is_away_nothing_counts_as_sent(store: Store, journal: Journal) -> None:
    journal.append("metrics", values={"loss": 1.0, "bad": 2.0}, step=0)
    store.away = True

    with pytest.raises(Away, match="no route to host"):
        send(store, journal)

    assert sent(journal.folder) == 0
    store.away = False
    assert send(store, journal) == 1


def test_after_a_break_in_the_middle_only_the_rest_is_sent(store: Store, journal: Journal) -> None:
    for step in range(3000):
        journal.append("metrics", values={"loss": 1.0}, step=step)
    store.full_after = 1
    with pytest.raises(Away):
        send(store, journal)
    store.full_after, store.away = None, False

    assert send(store, journal) == 2000
    assert [metric.step for metric in store.all("metrics")] == list(range(3000))


def test_the_status_is_sent_last_with_its_own_time(store: Store, journal: Journal) -> None:
    ended = now_ms() - 60_000
    journal.append("status", status="FAILED", time=ended)
    journal.append("status", status="RUNNING")
    journal.append("metrics", values={"loss": 1.0}, step=0)
    journal.append("status", status="FINISHED", time=ended + 1)

    send(store, journal)

    assert store.statuses == [("FAILED", ended), ("RUNNING", None), ("FINISHED", ended + 1)]
