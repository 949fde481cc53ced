"""What a training step means: the loss of a batch, what is counted, and what a trained network is for."""

from trainers.tasks.adversarial import COUNTS, AdversarialLoss, Judge, generate, noise
from trainers.tasks.bundle import copy_bundle, describe, outputs_of, read_description
from trainers.tasks.predictor import (
    PREDICTORS,
    Autoencoder,
    Classifier,
    Prediction,
    Predictor,
    Regressor,
    Sampler,
    as_columns,
    load_predictor,
)
from trainers.tasks.supervised import Autoencoding, Classification, Regression, Task, make_task

__all__ = [
    "COUNTS", "PREDICTORS", "AdversarialLoss", "Autoencoder", "Autoencoding", "Classification", "Classifier", "Judge",
    "Prediction", "Predictor", "Regression", "Regressor", "Sampler", "Task", "as_columns", "copy_bundle", "describe",
    "generate", "load_predictor", "make_task", "noise", "outputs_of", "read_description",
]  # fmt: skip
