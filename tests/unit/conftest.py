"""Unit tests share a machine with others: one thread each, and always the same sums."""

import logging
from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """What a test's command line logs to ends with it."""
    log = logging.getLogger("trainers")
    before = list(log.handlers), log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before
