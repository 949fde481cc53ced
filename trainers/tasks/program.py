"""The whole program of a trained model, by torch.export: what runs without this library's code."""

from pathlib import Path

import torch
from torch import nn

from trainers.errors import WorkError
from trainers.tasks.bundle import copy_bundle, read_description
from trainers.tasks.load import load_predictor

PROGRAM = "program.pt2"
TOLERANCE = 1e-4  # of outputs that the same operations on the same weights give
SAMPLES = 3


def export_program(folder: Path, target: Path) -> float:
    """Saves the model in a folder both ways in a new folder, loads both back, and compares outputs.

    Weights and description are copied as they are; the program takes any number of samples.

    Returns:
        The largest difference between an output of what was loaded back and of the model.

    Raises:
        RequestError: there is no model.
        WorkError: the difference is larger than rounding.
    """
    module = _network(folder)
    # A GAN's input is noise.
    shape = [module.latent] if hasattr(module, "discriminator") else read_description(folder)["shape"]
    inputs = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(0))
    copy_bundle(folder, target)
    program = torch.export.export(module, (inputs,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program, target / PROGRAM)
    loaded = (_network(target), torch.export.load(target / PROGRAM).module())
    with torch.inference_mode():
        worst = max(
            float((network(batch) - module(batch)).abs().max()) for network in loaded for batch in (inputs, inputs[:2])
        )
    if not worst <= TOLERANCE:  # nor not a number
        raise WorkError(f"{target}: outputs differ by {worst:.1e} from the model's; do not use what is there")
    return worst


def _network(folder: Path) -> nn.Module:
    return load_predictor(folder, torch.device("cpu")).module
