"""What a training step means: the loss of a batch, what is counted, and what a trained network is for."""

from trainers.tasks.adversarial import COUNTS, AdversarialLoss, Sampler, generate, noise
from trainers.tasks.autoencoding import Autoencoding, Reconstructor
from trainers.tasks.bundle import copy_bundle, describe, outputs_of, read_description
from trainers.tasks.classification import Classification, Classifier
from trainers.tasks.gan_evaluator import GanEvaluator
from trainers.tasks.load import load_predictor, make_task, predictor_class
from trainers.tasks.predictor import Estimator, Predictor
from trainers.tasks.regression import Regression, Regressor
from trainers.tasks.task import Task
