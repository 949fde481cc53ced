"""When memory runs out, really, on one of two ranks: all take smaller parts, and the training is the same."""

import json
import os
from unittest import mock

import pytest
import torch
from tight import BATCH, draw, rank, synchronised_rank, weights
from torch.multiprocessing import ProcessRaisedException

SHARE = BATCH // 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tight")
    draw(folder / "photos")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _malloc_has_no_reserves():
    """What is freed goes back to the system at once, and no arena has room set aside: a limit is one."""
    with mock.patch.dict(os.environ, MALLOC_MMAP_THRESHOLD_=str(64 * 1024), MALLOC_ARENA_MAX="1"):
        yield


@pytest.fixture(scope="module")
def both(folder):
    """What each of two ranks told of each case."""
    torch.multiprocessing.spawn(rank, args=(folder,), nprocs=2)
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(2)]


def agree(first, second):
    return all(torch.allclose(first[name], second[name], rtol=0, atol=1e-6) for name in first)


def test_with_room_enough_a_rank_takes_its_whole_part(both):
    for ranks in both:
        assert ranks["free"]["sizes"] == [SHARE]
        assert ranks["free"]["epochs"] == [SHARE, SHARE]


@pytest.mark.parametrize("case", ["forward", "backward", "start"])
def test_all_ranks_shrink_together_when_one_runs_out(both, case):
    first, second = (ranks[case] for ranks in both)
    assert first == second
    assert first["sizes"][-1] < (16 if case == "backward" else SHARE)
    assert first["causes"][-1] == "CPU memory"
    assert first["epochs"][-1] == first["sizes"][-1]
    assert first["failed"] is None


@pytest.mark.parametrize("case", ["forward", "backward", "start"])
def test_the_weights_are_those_of_an_undisturbed_training(folder, both, case):
    assert agree(weights(folder / case), weights(folder / "free"))


def test_the_step_in_which_it_happened_is_told(both):
    assert both[0]["forward"]["places"][:2] == both[0]["backward"]["places"][:2] == [[1, 1], [1, 2]]
    assert both[0]["start"]["places"] == [[1, 1]]


def test_where_nothing_fits_every_rank_ends_with_advice(both):
    for ranks in both:
        assert ranks["nothing"]["failed"].startswith("CPU memory ran out with one sample at a time: take a smaller")


def test_ranks_that_waited_for_each_other_go_on_from_the_checkpoint_in_smaller_parts(folder, both):
    with pytest.raises(ProcessRaisedException):
        torch.multiprocessing.spawn(synchronised_rank, args=(folder, 0), nprocs=2)
    torch.multiprocessing.spawn(synchronised_rank, args=(folder, 1), nprocs=2)
    results = [json.loads((folder / f"synchronised-1-{number}.json").read_text()) for number in range(2)]
    assert results[0] == results[1]
    assert results[0]["sizes"] == [SHARE // 2]
    assert results[0]["causes"] == ["CPU memory"]
    assert agree(weights(folder / "synchronised"), weights(folder / "free"))
