"""What the journal promises: nothing that was appended is lost, nothing torn is read, one writer at a time."""

import fcntl
import json
import math
from pathlib import Path

import pytest

from trainers.errors import RequestError
from trainers.tracking.journal import NAME, Journal, numbers, read, remember, sent


def append(folder: Path, *tags: dict[str, str]) -> None:
    journal = Journal(folder)
    for values in tags:
        journal.append("tags", values=values)
    journal.close()


def values(folder: Path, start: int = 0) -> list[object]:
    return [record.get("values") for record, _ in read(folder, start)]


def test_every_record_is_a_line_of_strict_json_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.append("metrics", values=numbers({"a": math.nan, "b": -math.inf, "c": 1}), step=3, time=5)

    line = json.loads((tmp_path / "run" / NAME).read_text(), parse_constant=lambda name: pytest.fail(name))
    assert line == {"kind": "metrics", "time": 5, "values": {"a": "nan", "b": "-inf", "c": 1.0}, "step": 3}
    journal.close()


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    append(tmp_path, {"a": "1"}, {"b": "2"}, {"c": "ü\n"})
    ends = [end for _, end in read(tmp_path)]

    assert sent(tmp_path) == 0
    remember(tmp_path, ends[0])
    assert values(tmp_path, sent(tmp_path)) == [{"b": "2"}, {"c": "ü\n"}]
    assert ends[-1] == (tmp_path / NAME).stat().st_size


def test_a_torn_last_line_is_not_read_and_not_built_upon(tmp_path: Path) -> None:
    append(tmp_path, {"a": "1"})
    with (tmp_path / NAME).open("a") as file:
        file.write('{"kind": "tags", "time": 1, "val')

    assert values(tmp_path) == [{"a": "1"}]
    append(tmp_path, {"b": "2"})
    assert values(tmp_path) == [{"a": "1"}, {"b": "2"}]


def test_a_journal_that_is_one_torn_line_is_begun_afresh(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("x" * 100_000)

    append(tmp_path, {"a": "1"})

    assert values(tmp_path) == [{"a": "1"}]


@pytest.mark.parametrize("damage", ["garbage", "[1]", '{"kind": "metrics", "time": 1}', '{"kind": "other", "time": 1}'])
def test_a_damaged_line_does_not_hide_those_after_it(tmp_path: Path, damage: str) -> None:
    (tmp_path / NAME).write_text(damage + "\n")
    append(tmp_path, {"a": "1"})

    assert [record["kind"] for record, _ in read(tmp_path)] == ["", "tags"]


def test_a_second_writer_is_told_that_the_journal_is_in_use(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    with pytest.raises(RequestError, match="in use by another process"):
        Journal(tmp_path)

    journal.close()
    Journal(tmp_path).close()


def test_the_lock_is_flock_on_the_journal_itself_so_that_writers_of_any_version_see_each_other(tmp_path: Path) -> None:
    append(tmp_path, {"a": "1"})
    with (tmp_path / NAME).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RequestError, match="in use by another process"):
            Journal(tmp_path)

        fcntl.flock(other, fcntl.LOCK_UN)
        journal = Journal(tmp_path)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        journal.close()
    assert values(tmp_path) == [{"a": "1"}]
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"no {NAME} in {tmp_path}"):
        list(read(tmp_path))
