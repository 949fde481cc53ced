"""What a trained model is worth on a split."""

from pathlib import Path
from typing import cast

import numpy as np

from trainers.data import Pack, Prepared, open_pack, splits_of
from trainers.display import Display
from trainers.errors import RequestError
from trainers.experiment import Experiment
from trainers.tasks import Classifier, Estimator, GanEvaluator, Predictor, Sampler, load_predictor

MEASURED_SEED = 1  # of the samples by which a GAN is measured


def data_for(predictor: Predictor, experiment: Experiment, storage: Path, display: Display) -> Prepared:
    """The experiment's data as a trained model takes it: its image size, fit and channels.

    Raises RequestError: as `open_pack`, or the model takes something else.
    """
    options = experiment.data
    if predictor.takes_images:
        size = {"image_size": predictor.shape[1], "channels": "grey" if predictor.shape[0] == 1 else "rgb"}
        options = options.model_copy(update={**size, "fit": predictor.fit})
    pack = open_pack(options, storage, progress=display.packing)
    if pack.shape != predictor.shape:
        raise RequestError(f"data.source: {options.source} gives {pack.shape}, the model takes {predictor.shape}")
    return Prepared(pack, splits_of(pack, options, experiment.seed))


def measure(
    predictor: Predictor, pack: Pack, indices: np.ndarray, experiment: Experiment, classifier: Path | None
) -> tuple[dict[str, float], np.ndarray]:
    """Metrics on samples of a pack, and the answer for each [n, K]: probabilities, values, errors.

    Args:
        classifier: the folder of the one that measures a GAN's samples.
    """
    if isinstance(predictor, Estimator):
        return predictor.measure(pack, indices)
    assert classifier is not None
    evaluator = GanEvaluator(cast("Classifier", load_predictor(classifier)), pack.inputs[indices])
    return evaluator.metrics(cast("Sampler", predictor).sample(experiment.gan.samples, MEASURED_SEED)), np.zeros((0, 0))
