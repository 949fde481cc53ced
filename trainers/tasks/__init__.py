"""What a training step means: the loss of a batch, what is counted, and what a trained network is for."""

from trainers.tasks.classification import Classification
from trainers.tasks.predictor import Prediction, Predictor, copy_bundle, describe

__all__ = ["Classification", "Prediction", "Predictor", "copy_bundle", "describe"]
