"""Distributed training of image models: Ray runs it, PyTorch trains it, MLflow records it."""

__version__ = "0.1.0"
