"""Evaluates a network on a split, shared out over the ranks."""

import torch
from torch import nn

from trainers.data.batches import Samples, evaluation_batches
from trainers.engine.world import World
from trainers.tasks import Classification

EVALUATION_BATCH = 256  # per rank; without gradients it needs less memory than a quarter of it in training


@torch.inference_mode()
def evaluate(
    module: nn.Module,
    task: Classification,
    samples: Samples,
    indices: torch.Tensor,
    world: World,
    *,
    dtype: torch.dtype = torch.float32,
    batch_size: int = EVALUATION_BATCH,
    classes: int = 0,
) -> tuple[dict[str, float], torch.Tensor]:
    """Metrics over all ranks, and on every rank the probabilities [n, classes] of all samples in order.

    Every sample counts once, whatever the world size. For 0 classes no probabilities are kept.
    """
    module.eval()
    tally = torch.zeros(len(task.counts), dtype=torch.float64, device=world.device)
    outputs: list[torch.Tensor] = []
    for images, targets in evaluation_batches(
        samples, indices, size=batch_size, rank=world.rank, world_size=world.size
    ):
        with torch.autocast(world.device.type, dtype=dtype, enabled=dtype != torch.float32):
            logits = module(images)
        tally += task.tally(logits, targets)
        if classes:
            outputs.append(task.probabilities(logits))
    metrics = task.metrics(world.sum(tally))
    mine = torch.cat(outputs) if outputs else torch.zeros(0, classes, device=world.device)
    return metrics, world.gather_rows(mine, len(indices)) if classes else mine
