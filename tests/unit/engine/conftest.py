"""A loop over a tiny problem, in a folder of its own each time."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import toys

from trainers.engine.loop import Loop


@pytest.fixture
def make_loop(tmp_path) -> Callable[..., Loop]:
    numbers = count()

    def make(problem: str = "images", **options: Any) -> Loop:
        return toys.make_loop(problem, tmp_path / str(next(numbers)), **options)

    return make
