"""Samples through a network without gradients, as many at a time as fit into memory."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from trainers.engine.out_of_memory import cause_of, free_leftovers

T = TypeVar("T")


class InferenceBatches:
    """Takes samples in batches, without gradients and without the other ranks.

    Attributes:
        size: samples at a time; halved for good when they do not fit.
    """

    def __init__(self) -> None:
        self.size = 256  # without gradients it needs less memory than a quarter of it in training

    def map(self, samples: torch.Tensor, function: Callable[[torch.Tensor], T]) -> Iterator[T]:
        """What a function makes of samples [n, …], in their order, `size` of them at a time.

        Raises Exception: what the function raises, if it is not that memory ran out, or if one sample is too many.
        """
        done = 0
        while done < len(samples):
            part = samples[done : done + self.size]
            try:
                result = function(part)
            except Exception as error:
                if cause_of(error) is None or len(part) == 1:
                    raise
            else:
                yield result
                done += len(part)
                continue
            # Out of the handler, whose traceback would keep the failed attempt's tensors.
            self.size = -(-len(part) // 2)
            free_leftovers()
