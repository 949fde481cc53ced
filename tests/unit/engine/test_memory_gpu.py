"""On a GPU whose memory is fenced off: the batch is taken in smaller parts, and the training is the same."""

import pytest
import torch
from tight import BATCH, MB, draw, make_job, train, weights

from trainers.engine import World

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")]


@pytest.fixture
def world():
    yield World(device=torch.device("cuda"))
    fence(None)


def fence(extra: int | None) -> None:
    """Lets this process have so many bytes more (or fewer) of the GPU than it has; None: all of it."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(1.0 if extra is None else (torch.cuda.memory_reserved() + extra) / total)


def at_the_start(module):
    module.register_forward_pre_hook(first(lambda: fence(70 * MB), call=0))


def in_training(module):
    module.register_forward_pre_hook(first(lambda: fence(30 * MB), call=2))


def in_backward(module):
    module.register_forward_hook(first(lambda: fence(-20 * MB), call=2))


def first(do, *, call):
    calls = []

    def hook(module, *rest):
        if module.training:
            calls.append(None)
            if len(calls) == call + 1:
                do()

    return hook


@pytest.mark.parametrize("place", [at_the_start, in_training, in_backward])
def test_a_fenced_gpu_trains_the_same_in_smaller_parts(place, world, tmp_path):
    draw(tmp_path / "photos")
    free = train(make_job(tmp_path / "free", tmp_path / "photos", precision="fp32"), world, None)
    fenced = train(make_job(tmp_path / "fenced", tmp_path / "photos", precision="fp32"), world, place)
    assert free["sizes"] == [BATCH]
    assert fenced["failed"] is None
    assert fenced["sizes"][-1] < BATCH
    assert fenced["causes"][-1] == "GPU memory"
    expected, got = weights(tmp_path / "free"), weights(tmp_path / "fenced")
    assert all(torch.allclose(got[name], expected[name], rtol=0, atol=1e-5) for name in expected)


def test_mixed_precision_is_tried_as_it_is_trained(world, tmp_path):
    draw(tmp_path / "photos")
    fenced = train(make_job(tmp_path / "fenced", tmp_path / "photos", precision="bf16"), world, at_the_start)
    assert fenced["failed"] is None
    assert fenced["sizes"][-1] <= BATCH
