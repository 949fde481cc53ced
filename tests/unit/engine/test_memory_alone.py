"""One process whose network runs out of memory, where it can and where it cannot be repeated."""

import pytest
import torch
from toys import losses, make_loop, same, train

from trainers.engine.note import Note
from trainers.engine.out_of_memory import CPU


class Short:
    """Lets a network's forward passes in training run out of memory with more than so many samples."""

    def __init__(self, module, most):
        self.most, self.sizes = most, []
        module.register_forward_pre_hook(self._hook)

    def _hook(self, module, inputs):
        if module.training:
            self.sizes.append(len(inputs[0]))
            if len(inputs[0]) > self.most:
                raise MemoryError


@pytest.mark.parametrize("problem", ["images", "vectors", "regression", "autoencoding"])
def test_the_step_is_repeated_in_smaller_parts_with_the_same_losses(problem, tmp_path):
    expected = losses(train(make_loop(problem, tmp_path / "free")))
    loop = make_loop(problem, tmp_path / "short")
    short = Short(loop.learner.module, 16)
    rows = train(loop, until=1)
    short.most = 5
    rows += train(loop)
    assert loop.learner.micro_batch.size == 4
    assert [row["micro_batch"] for row in rows] == [16, 4, 4]
    for got, want in zip(losses(rows), expected, strict=True):
        assert got == pytest.approx(want, abs=1e-5)


def test_a_gan_repeats_the_turn_of_the_network_that_ran_out(tmp_path):
    expected = losses(train(make_loop("adversarial", tmp_path / "free")))
    loop = make_loop("adversarial", tmp_path / "short")
    short = Short(loop.learner.gan.generator, 16)
    rows = train(loop, until=1)
    short.most = 7
    rows += train(loop)
    assert loop.learner.micro_batch.size == 4
    for got, want in zip(losses(rows), expected, strict=True):
        assert got == pytest.approx(want, abs=1e-4)


def test_batch_norms_statistics_do_not_count_a_failed_attempt(tmp_path):
    options = {"model": {"name": "cnn", "dropout": 0}, "training": {"epochs": 1, "micro_batch": 4}}
    free = make_loop("images", tmp_path / "free", **options)
    train(free)
    loop = make_loop("images", tmp_path / "short", **{**options, "training": {"epochs": 1}})
    # The last layer fails, when all BatchNorm layers have seen the batch.
    last = [part for part in loop.learner.module.modules() if isinstance(part, torch.nn.Linear)][-1]
    Short(last, 4)
    train(loop)
    assert loop.learner.micro_batch.size == 4
    assert same(loop.learner.model_state(), free.learner.model_state())


def test_the_first_try_leaves_no_trace(tmp_path):
    options = {"model": {"name": "cnn"}, "training": {"ema": 0.9}, "optimizer": {"name": "adam"}}
    known = make_loop("images", tmp_path / "known", **options)
    tried = make_loop("images", tmp_path / "tried", fits=False, **options)
    assert losses(train(tried)) == losses(train(known))
    assert same(tried.learner.model_state(), known.learner.model_state())


def test_what_is_unfrozen_later_is_tried_again(tmp_path):
    options = {"model": {"hidden": [8, 8], "train": "head", "unfreeze": [2]}}
    loop = make_loop("vectors", tmp_path, fits=False, **options)
    tried = []
    loop.learner.rehearse = lambda batch, size: tried.append((loop.learner.trained, size))
    train(loop)
    (head, first), (everything, second) = tried
    assert head < everything
    assert (first, second) == (16, 16)


def test_where_nothing_can_be_repeated_it_is_noted_for_the_next_start(tmp_path):
    loop = make_loop("images", tmp_path)
    error = loop.learner.micro_batch.note_failure(CPU, MemoryError())
    assert "CPU memory ran out with a micro-batch of 16" in str(error)
    assert Note.read(tmp_path) == Note(16, CPU)
