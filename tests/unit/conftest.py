"""Unit tests share a machine with others: one thread each, and always the same sums."""

import torch

torch.set_num_threads(1)
