"""What the frozen layers of a network make of samples, and whether that stays the same in every epoch."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.data import Pack, Progress
from trainers.data.augment import asked
from trainers.data.normalise import Normalise
from trainers.data.samples import Samples
from trainers.engine.inference import InferenceBatches
from trainers.engine.precision import autocast, choose_dtype
from trainers.experiment import Experiment
from trainers.models import FeatureExtractor


def why_not(experiment: Experiment) -> str | None:
    """Why the options leave no features to be computed once; None if they do, as far as options can tell."""
    if experiment.task in ("adversarial", "autoencoding"):
        return f"{experiment.task} needs the images themselves"
    model = experiment.model
    if not (model.train == "head" or model.freeze or model.freeze_groups):
        return "nothing is frozen"
    if model.unfreeze:
        return "model.unfreeze trains the frozen layers later"
    if changes := asked(experiment.data.augment):
        return f"data.augment.{changes[0]} changes the images"
    return None


def extract(
    experiment: Experiment, pack: Pack, extractor: FeatureExtractor, device: torch.device, progress: Progress | None
) -> Iterator[NDArray[np.float32]]:
    """The features of all samples of a pack in order, rows [n, D] some at a time; fewer where memory runs out."""
    channels = pack.shape[0] if len(pack.shape) == 3 else 1
    samples = Samples(pack, device, Normalise.of(experiment.data.normalise, channels))
    dtype = choose_dtype(experiment.training.precision, device)
    extractor = extractor.to(device).to(memory_format=torch.channels_last).eval()
    done, count = 0, len(pack.inputs)

    def features(chosen: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode(), autocast(device, dtype):
            rows: NDArray[np.float32] = extractor(samples.normalise(samples.take(chosen)[0])).float().cpu().numpy()
        return rows

    for rows in InferenceBatches().map(torch.arange(count), features):
        yield rows
        done += len(rows)
        if progress is not None:
            progress(done, count, "computing features")
