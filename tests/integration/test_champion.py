"""The champion: only what is better on the same test split takes the place of the present one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from recording import record

from trainers import tracking
from trainers.errors import RequestError
from trainers.tracking import Score, promote, register

MEASURED = 0.5  # accuracy of any champion that promote has measured


class Candidates:
    """Registers candidates of one model and offers them for champion."""

    def __init__(self, uri: str, folder: Path, bundle: Path, name: str) -> None:
        self.uri, self.bundle, self.name = uri, bundle, name
        self.recorder = record(uri, folder)
        self.measured: list[str] = []

    def offer(self, accuracy: float, fingerprint: str, champion: float | RequestError = MEASURED) -> bool:
        def measure(folder: Path) -> float:
            self.measured.append((folder / "weights.safetensors").read_text())
            if isinstance(champion, RequestError):
                raise champion
            return champion

        version = register(self.uri, self.recorder.run_id, self.bundle, self.name, {}, {})
        return bool(promote(self.uri, version, Score("accuracy", accuracy), fingerprint, measure))

    @property
    def champion(self) -> str:
        return tracking.find_version(self.uri, f"models:/{self.name}@champion").version

    def reason(self, version: str) -> str:
        return str(tracking.connect(self.uri).get_model_version(self.name, version).tags["champion_decision"])


@pytest.fixture
def candidates(sqlite: str, tmp_path: Path, bundle: Path, request: pytest.FixtureRequest) -> Iterator[Candidates]:
    made = Candidates(sqlite, tmp_path, bundle, request.node.name[:60])
    yield made
    made.recorder.finish("FINISHED")


def test_only_a_strictly_better_version_becomes_champion(candidates: Candidates) -> None:
    assert [candidates.offer(accuracy, "split") for accuracy in (0.8, 0.7, 0.8, 0.9)] == [True, False, False, True]

    assert candidates.champion == "4"
    assert not candidates.measured, "on the same split the recorded accuracy counts"
    assert "is the first" in candidates.reason("1")
    assert "models:/" in candidates.reason("2")
    assert "stays: accuracy 0.7 against 0.8 of models:/" in candidates.reason("2")


def test_a_champion_of_another_test_split_is_measured_on_this_one(candidates: Candidates) -> None:
    assert candidates.offer(0.99, "old split")

    assert not candidates.offer(0.6, "new split", champion=0.7)
    assert candidates.offer(0.8, "new split", champion=0.7)

    assert candidates.measured == ["weights", "weights"]
    assert candidates.champion == "3"


def test_a_champion_that_cannot_be_measured_stays(candidates: Candidates) -> None:
    assert candidates.offer(0.6, "pets")

    assert not candidates.offer(0.9, "digits", champion=RequestError("it tells other classes apart"))

    assert candidates.champion == "1"
    assert "cannot be measured on this test split (it tells other classes apart)" in candidates.reason("2")


def test_two_runs_that_end_at_once_leave_the_better_one_champion(candidates: Candidates) -> None:
    assert candidates.offer(0.6, "old split")
    later = register(candidates.uri, candidates.recorder.run_id, candidates.bundle, candidates.name, {}, {})

    def measure_while_another_wins(_: Path) -> float:
        assert promote(candidates.uri, later, Score("accuracy", 0.95), "new split", measure=lambda _: 0.5)
        return 0.5

    slower = register(candidates.uri, candidates.recorder.run_id, candidates.bundle, candidates.name, {}, {})
    assert not promote(candidates.uri, slower, Score("accuracy", 0.9), "new split", measure_while_another_wins)
    assert candidates.champion == later.version
