"""What is known of memory: what fits, what does not, and of what."""

import json

import pytest
import torch

from trainers.engine.inference import InferenceBatches
from trainers.engine.limits import Limits, memory_of
from trainers.engine.micro_batch import AutoMicroBatch
from trainers.engine.note import Note, was_killed
from trainers.engine.out_of_memory import CPU, GPU, KILLED, TooLarge, cause_of
from trainers.engine.world import World


@pytest.fixture
def limits(tmp_path):
    return lambda what="a network": Limits(tmp_path, {"what": what}, World())


def trying(most):
    """A rehearsal that fits up to a micro-batch, and what it was asked."""
    tried = []

    def rehearse(size):
        tried.append(size)
        if size > most:
            raise MemoryError

    return rehearse, tried


def test_a_micro_batch_is_halved_until_it_fits(limits, tmp_path):
    rehearse, tried = trying(20)
    micro_batch = AutoMicroBatch(World(), 50, tmp_path)
    micro_batch.shrink_to_fit(rehearse, limits())
    assert (micro_batch.size, tried, micro_batch.cause) == (13, [50, 25, 13], CPU)


def test_what_fits_is_not_tried_again_by_later_runs(limits, tmp_path):
    AutoMicroBatch(World(), 50, tmp_path).shrink_to_fit(trying(20)[0], limits())
    rehearse, tried = trying(20)
    for share, size in ((50, 13), (13, 13), (8, 8), (26, 13)):
        micro_batch = AutoMicroBatch(World(), share, tmp_path)
        micro_batch.shrink_to_fit(rehearse, limits())
        assert micro_batch.size == size
    assert tried == []


def test_between_what_fits_and_what_does_not_it_is_tried(limits, tmp_path):
    AutoMicroBatch(World(), 50, tmp_path).shrink_to_fit(trying(20)[0], limits())
    rehearse, tried = trying(20)
    micro_batch = AutoMicroBatch(World(), 18, tmp_path)
    micro_batch.shrink_to_fit(rehearse, limits())
    assert (micro_batch.size, tried) == (18, [18])


def test_another_network_has_other_limits(limits):
    limits().learn(8, fits=True)
    assert limits().fits(8)
    assert limits("another").fits(8) is None


def test_what_contradicts_a_lesson_is_forgotten(limits):
    limits().learn(32, fits=True)
    limits().learn(16, fits=False)
    assert [limits().fits(size) for size in (8, 16, 32)] == [None, False, False]
    limits().learn(64, fits=True)
    assert limits().fits(64)


def test_a_damaged_file_is_as_none(limits, tmp_path):
    limits().learn(32, fits=True)
    (file,) = tmp_path.glob("*.json")
    file.write_text("{")
    assert limits().fits(32) is None


def test_the_file_says_what_it_is_of(limits, tmp_path):
    limits().learn(32, fits=True)
    (file,) = tmp_path.glob("*.json")
    kept = json.loads(file.read_text())
    assert kept["fits"] == 32
    assert kept["of"] == {"what": "a network", "device": "cpu", "memory": kept["of"]["memory"], "world_size": 1}
    assert kept["of"]["memory"] == memory_of(torch.device("cpu")) > 0


def test_an_asked_micro_batch_is_the_most_that_is_taken(limits, tmp_path):
    rehearse, tried = trying(100)
    micro_batch = AutoMicroBatch(World(), 50, tmp_path, most=20)
    micro_batch.shrink_to_fit(rehearse, limits())
    assert (micro_batch.size, tried) == (20, [20])


def test_where_not_even_one_fits_the_advice_is_told(limits, tmp_path):
    with pytest.raises(TooLarge, match="one sample at a time: take a smaller"):
        AutoMicroBatch(World(), 50, tmp_path).shrink_to_fit(trying(0)[0], limits())


def test_another_error_stays_itself(limits, tmp_path):
    def broken(size):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        AutoMicroBatch(World(), 50, tmp_path).shrink_to_fit(broken, limits())


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), GPU),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), GPU),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), CPU),
        (RuntimeError("could not create a primitive"), CPU),
        (MemoryError(), CPU),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), None),
        (ValueError("DefaultCPUAllocator"), None),
    ],
)
def test_causes_are_told_apart(error, cause):
    assert cause_of(error) == cause


def test_evaluation_takes_fewer_samples_by_itself():
    inference, parts = InferenceBatches(), []

    def measure(part):
        if len(part) > 100:
            raise MemoryError
        parts.append(len(part))
        return part

    seen = torch.cat(list(inference.map(torch.arange(300), measure)))
    assert torch.equal(seen, torch.arange(300))
    assert parts == [64, 64, 64, 64, 44]


def test_a_note_is_read_as_it_was_written(tmp_path):
    assert Note.read(tmp_path) is None
    Note(16, KILLED).write(tmp_path / "run")
    assert Note.read(tmp_path / "run") == Note(16, KILLED)


def test_the_kernels_count_of_killed_processes_tells_of_one_since(tmp_path):
    events = tmp_path / "memory.events"
    events.write_text("low 0\noom 2\noom_kill 3\n")
    assert [was_killed(tmp_path, events) for _ in range(2)] == [False, False]
    events.write_text("low 0\noom 3\noom_kill 4\n")
    assert [was_killed(tmp_path, events) for _ in range(2)] == [True, False]
    assert not was_killed(tmp_path, tmp_path / "nothing")
