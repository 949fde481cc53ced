"""The whole program of a trained model, by torch.export: what runs without this library's code."""

from pathlib import Path

import torch
from torch import nn

from trainers.errors import WorkError
from trainers.tasks.predictor import Predictor

PROGRAM = "program.pt2"
TOLERANCE = 1e-4  # of outputs that the same operations on the same weights give
SAMPLES = 3


def export_program(predictor: Predictor, folder: Path) -> float:
    """Saves the network as a program for any number of samples, loads it back, and compares outputs.

    Returns:
        The largest difference between an output of the program, loaded back, and of the network.

    Raises:
        WorkError: it is larger than rounding.
    """
    module = predictor.module.cpu().eval()
    width = (module.latent,) if hasattr(module, "discriminator") else predictor.shape  # a GAN's input is noise
    inputs = torch.randn(SAMPLES, *width, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(module, (inputs,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program, folder / PROGRAM)
    loaded: nn.Module = torch.export.load(folder / PROGRAM).module()
    with torch.inference_mode():
        worst = max(float((loaded(batch) - module(batch)).abs().max()) for batch in (inputs, inputs[:2]))
    if not worst <= TOLERANCE:  # nor not a number
        raise WorkError(f"{folder / PROGRAM}: its outputs differ by {worst:.1e} from the model's; do not use it")
    return worst
