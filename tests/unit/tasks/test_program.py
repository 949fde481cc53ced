"""A trained model saved as a program gives the same outputs without this library's code, for any number of samples."""

import pytest
import torch
from toys import make_loop, train

from trainers.tasks import load_predictor
from trainers.tasks.program import PROGRAM, TOLERANCE, export_program


@pytest.mark.parametrize(("problem", "network"), [("images", "cnn"), ("adversarial", "dcgan")])
def test_a_program_gives_the_outputs_of_the_network(tmp_path, problem, network):
    loop = make_loop(problem, tmp_path, model={"name": network, "dropout": None}, training={"epochs": 1})
    train(loop)
    predictor = load_predictor(loop.store.path(1), torch.device("cpu"))
    folder = tmp_path / "exported"
    assert 0 <= export_program(loop.store.path(1), folder) <= TOLERANCE
    program = torch.export.load(folder / PROGRAM).module()
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", PROGRAM, "weights.safetensors"]
    for samples in (1, 7):
        shape = (4,) if problem == "adversarial" else (3, 16, 16)
        inputs = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(samples))
        torch.testing.assert_close(program(inputs), predictor.module(inputs), atol=1e-5, rtol=1e-4)
