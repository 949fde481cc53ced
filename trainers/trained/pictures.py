"""The pictures of what a trained model does with a split, by its task."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from trainers.data import Pack
from trainers.reports import draw_fit, draw_reconstructions, draw_regions, draw_tiles
from trainers.tasks import Classifier, Predictor, Reconstructor, Regressor, Sampler
from trainers.trained.results import Results

REBUILT = 16
SAMPLES = 100


def draw_results(
    load: Callable[[], Predictor], pack: Pack, indices: np.ndarray, answers: np.ndarray, folder: Path
) -> list[Path]:
    """Draws into a folder, and returns what was drawn.

    Args:
        load: the trained model, for pictures that need more than its answers.
        answers: for each of the samples `indices` [n, K]; none of a GAN.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if len(pack.classes) and answers.shape[1:] == (len(pack.classes),):
        drawn = Results(pack, indices, answers).draw(folder)
        return drawn + (_regions(load(), pack, indices, folder) if pack.shape == (2,) else [])
    predictor = load()
    if isinstance(predictor, Reconstructor):
        originals = pack.inputs[indices[:REBUILT]]
        return [draw_reconstructions(originals, predictor.reconstructions(originals), folder / "reconstructions.png")]
    if isinstance(predictor, Sampler):
        return [draw_tiles(predictor.sample(SAMPLES), folder / "samples.png", columns=10)]
    return _fit(predictor, pack, indices, folder) if pack.shape == (1,) else []


def _regions(predictor: Predictor, pack: Pack, indices: np.ndarray, folder: Path) -> list[Path]:
    def decide(points: np.ndarray) -> np.ndarray:
        chosen: np.ndarray = cast("Classifier", predictor).probabilities(points).argmax(axis=1)
        return chosen

    points, labels = pack.inputs[indices], pack.labels[indices]
    return [draw_regions(points, labels, pack.classes, decide, folder / "regions.png")]


def _fit(predictor: Predictor, pack: Pack, indices: np.ndarray, folder: Path) -> list[Path]:
    assert pack.values is not None
    x, y = pack.inputs[indices, 0], pack.values[indices, 0]
    line = np.linspace(x.min(), x.max(), 200, dtype=np.float32)
    fitted = cast("Regressor", predictor).values(line[:, None])[:, 0]
    return [draw_fit(x, y, line, fitted, folder / "fit.png")]
