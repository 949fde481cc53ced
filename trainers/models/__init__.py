"""Networks by name, ready to train: built, their last layer fitted to the classes, weights loaded, layers frozen."""

from trainers.models.build import Built, build, names, train_mode
from trainers.models.dry_run import Size, dry_run
from trainers.models.weights import resolve_weights

__all__ = ["Built", "Size", "build", "dry_run", "names", "resolve_weights", "train_mode"]
