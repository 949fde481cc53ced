"""Networks by name, ready to train: built for what is to be learnt, weights loaded, layers frozen."""

from trainers.data import Shape
from trainers.models.autoencoder import Autoencoder
from trainers.models.build import build
from trainers.models.built import BATCH_NORMS, Built
from trainers.models.cnn import CNN
from trainers.models.cut import FeatureExtractor, cut
from trainers.models.dry_run import dry_run
from trainers.models.freezing import freeze, parameter_groups, parameter_groups_of, stage_at, train_mode
from trainers.models.gan import GanNetworks
from trainers.models.size import Layer, Size, summary_table
from trainers.models.table import network_names
from trainers.models.weights import resolve_weights
