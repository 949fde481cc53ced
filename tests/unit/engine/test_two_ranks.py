"""Two real ranks do what one process does: the global batch alone decides, not who has which part of it."""

import json

import pytest
import torch
from ranks import CASES, COUNTED, RANGE_TEST, SHORT, WITH_BATCH_NORM, everything, rank

from trainers.engine import World


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return everything(World(), tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two ranks has to tell."""
    folder = tmp_path_factory.mktemp("both")
    torch.multiprocessing.spawn(rank, args=(folder,), nprocs=2)
    return [json.loads((folder / f"{number}.json").read_text()) for number in range(2)]


@pytest.mark.parametrize("case", [*CASES, SHORT])
def test_losses_are_those_of_one_process_in_every_epoch(alone, both, case):
    for epochs in (ranks[case] for ranks in both):
        assert len(epochs) == len(alone[case])
        for got, expected in zip(epochs, alone[case], strict=True):
            assert got == pytest.approx(expected, abs=1e-5, rel=1e-5)


def test_every_sample_is_evaluated_once_and_every_rank_has_all_answers_in_order(alone, both):
    for ranks in both:
        assert ranks["evaluation"]["metrics"] == pytest.approx(alone["evaluation"]["metrics"])
        assert len(ranks["evaluation"]["answers"]) == COUNTED
        torch.testing.assert_close(
            torch.tensor(ranks["evaluation"]["answers"]), torch.tensor(alone["evaluation"]["answers"])
        )


def test_the_range_test_suggests_the_same_rate_on_every_rank(alone, both):
    first, second = (ranks["range test"] for ranks in both)
    assert first == second
    assert first["rates"] == RANGE_TEST.rates()[: len(first["rates"])]
    assert first["suggestion"] == alone["range test"]["suggestion"]
    assert first["losses"] == pytest.approx(alone["range test"]["losses"], rel=1e-3)


@pytest.mark.parametrize("network", WITH_BATCH_NORM)
def test_an_evaluation_makes_the_statistics_of_batch_norm_equal(both, network):
    first, second = (ranks["BatchNorm"][network] for ranks in both)
    assert first == second
    trained, averaged = first
    assert trained != averaged


def test_ranks_whose_machines_have_other_samples_are_told_apart(both, alone):
    assert [ranks["the same samples"] for ranks in both] == [[True, False]] * 2
    assert alone["the same samples"] == [True, True]
