"""A generator and a discriminator, each with an optimiser: GANs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from trainers.data.batch import Batch
from trainers.data.samples import Samples
from trainers.data.seeds import mix
from trainers.engine.ema import Ema
from trainers.engine.learner import choose_dtype, distribute, rehearsal, synchronised
from trainers.engine.memory import Memory
from trainers.engine.optim import make_optimizer
from trainers.engine.schedule import Schedule
from trainers.engine.world import World
from trainers.experiment import Experiment
from trainers.models import Built, Gan, parameter_groups_of
from trainers.tasks import COUNTS, AdversarialLoss, Classifier, GanEvaluator, generate, noise

PICTURES = 64
Networks = Mapping[str, nn.Module]  # the two by name, bare or distributed
FIXED, MEASURED = 1, 2  # what noise is for, so that no two uses share it


class Adversarial:
    """The learner of GANs: in each step the discriminator learns first, then the generator.

    Its samples are measured by a classifier of the same images, on rank 0.

    Args:
        classifier: that measures, on rank 0.
        steps: optimiser steps per epoch.
    """

    counts: tuple[str, ...] = COUNTS

    def __init__(
        self,
        options: Experiment,
        built: Built,
        samples: Samples,
        classifier: Classifier | None,
        world: World,
        memory: Memory,
        *,
        steps: int,
    ) -> None:
        self.options, self.samples, self.classifier, self.world = options, samples, classifier, world
        self.memory = memory
        memory.renew = self._distribute
        self.dtype = choose_dtype(options.training.precision, world.device)
        self.loss = AdversarialLoss(options.loss, options.training.label_smoothing)
        self.gan = cast("Gan", built.module.to(world.device))
        self.module: nn.Module = self.gan
        self.networks = {"generator": self.gan.generator, "discriminator": self.gan.discriminator}
        self._distribute()
        average = options.training.ema
        self.ema = Ema(self.gan.generator, average) if average is not None else None
        rates = {"generator": None, "discriminator": options.optimizer.discriminator_lr}
        self.optimizers = {
            name: make_optimizer(options.optimizer, parameter_groups_of(self.networks[name]), lr=rate)
            for name, rate in rates.items()
        }
        self.schedules = {
            name: Schedule(options.schedule, optimizer, epochs=options.training.epochs, steps=steps)
            for name, optimizer in self.optimizers.items()
        }
        self._judges: dict[bytes, GanEvaluator] = {}
        self._step = 0

    @property
    def trained(self) -> int:
        """How many parameters are being trained."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def rate(self) -> float:
        """The generator's learning rate."""
        return float(self.optimizers["generator"].param_groups[-1]["lr"])

    def begin(self, epoch: int) -> bool:
        """Enters training mode."""
        self.module.train()
        self.memory.watch(self.module)
        self._epoch, self._step = epoch, 0
        return False

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of each of the two; returns their losses."""
        key = mix(self.options.seed, self._epoch, self._step)
        self._step += 1
        codes = self._codes(batch, key)
        tally = torch.zeros(len(COUNTS), dtype=torch.float64, device=self.world.device)
        tally[0] = self.memory.attempt(lambda size: self._judge_images(self.models, batch, codes, size))
        self._move("discriminator")
        # Frozen meanwhile: its gradients are not wanted, nor may its DDP wrapper wait for them.
        self.gan.discriminator.requires_grad_(False)
        tally[1] = self.memory.attempt(lambda size: self._make_images(self.models, batch, codes, size))
        self._move("generator")
        self.gan.discriminator.requires_grad_(True)
        if self.ema is not None:
            self.ema.update(self.gan.generator)
        tally[2] = len(batch)
        return tally

    def rehearse(self, batch: Batch, size: int) -> None:
        """Takes the memory of a step in micro-batches of that size, on this rank alone, and leaves no trace."""
        codes = self._codes(batch, 0)
        with self._both_trained(), rehearsal(self.module, self.world):
            # Two passes each: the second finds the gradients of the first in its way.
            self._judge_images(self.networks, batch, codes, size, passes=2)
            self._make_images(self.networks, batch, codes, size, passes=2)
            for network in self.networks.values():
                make_optimizer(self.options.optimizer, parameter_groups_of(network)).step()

    def end(self, metrics: Mapping[str, float]) -> None:
        """Lets the schedules know."""
        for schedule in self.schedules.values():
            schedule.after_epoch(metrics.get("frechet", 0.0))

    def metrics(self, tally: torch.Tensor) -> dict[str, float]:
        """Mean losses."""
        *sums, samples = tally.tolist()
        return {name: total / samples for name, total in zip(COUNTS, sums, strict=False)} if samples else {}

    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """How samples compare with the real images of a split; there are no answers.

        Rank 0 measures, and tells the others.
        """
        for network in (self.module, self._used()):  # in the same order on every rank
            self.world.copy_from_first(network, buffers_only=True)
        if not len(indices):
            return {}, torch.zeros(0)
        metrics: dict[str, float] | None = None
        if self.world.is_first:
            codes = noise(self.options.gan.samples, self.gan.latent, mix(self.options.seed, MEASURED))
            made = torch.cat(
                list(self.memory.in_parts(codes, lambda part: generate(self._used(), part.to(self.world.device))))
            )
            metrics = self._judge(indices).metrics(self.samples.normalise.undo(made).cpu().numpy())
        return self.world.dict_from_first(metrics), torch.zeros(0)

    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Samples from noise that stays the same throughout."""
        codes = noise(PICTURES, self.gan.latent, mix(self.options.seed, FIXED)).to(self.world.device)
        return self.samples.normalise.undo(generate(self._used(), codes)).cpu().numpy(), None

    def weights(self) -> dict[str, torch.Tensor]:
        """Of both networks; the generator's averaged ones where an average is kept."""
        generator = {f"generator.{name}": tensor for name, tensor in self._used().state_dict().items()}
        return self.module.state_dict() | generator

    def use(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        """Puts rank 0's weights into both networks."""
        if weights is not None:
            self.module.load_state_dict(weights)
        self.world.copy_from_first(self.module)
        if self.ema is not None:
            self.ema.module.load_state_dict(self.gan.generator.state_dict())

    def state(self) -> dict[str, Any]:
        """Both optimisers and schedules and, where an average is kept, the trained weights and the average's state."""
        state: dict[str, Any] = {
            name: {"optimizer": self.optimizers[name].state_dict(), "schedule": self.schedules[name].state_dict()}
            for name in self.optimizers
        }
        if self.ema is not None:
            state |= {"trained": self.module.state_dict(), "ema": self.ema.state_dict()}
        return state

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to where they were taken."""
        self.module.load_state_dict(state.get("trained", weights))
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        for name in self.optimizers:
            self.optimizers[name].load_state_dict(state[name]["optimizer"])
            self.schedules[name].load_state_dict(state[name]["schedule"])

    def _used(self) -> nn.Module:
        """The generator whose samples count."""
        return self.gan.generator if self.ema is None else self.ema.module

    def _distribute(self) -> None:
        self.models: dict[str, nn.Module] = dict(self.networks)  # the old wrappers' hooks go before the new ones' come
        with self._both_trained():
            self.models = {name: distribute(network, self.world) for name, network in self.networks.items()}

    @contextmanager
    def _both_trained(self) -> Iterator[None]:
        """As at the beginning of a step, also in the generator's turn, in which the discriminator is frozen."""
        trained = next(self.gan.discriminator.parameters()).requires_grad
        self.gan.discriminator.requires_grad_(True)
        try:
            yield
        finally:
            self.gan.discriminator.requires_grad_(trained)

    def _codes(self, batch: Batch, key: int) -> torch.Tensor:
        """This rank's part of the global batch's noise."""
        size, rank, world = batch.global_size, self.world.rank, self.world.size
        mine = slice(rank * size // world, (rank + 1) * size // world)
        return noise(size, self.gan.latent, key)[mine].to(self.world.device, non_blocking=True)

    def _judge_images(
        self, models: Networks, batch: Batch, codes: torch.Tensor, size: int, passes: int | None = None
    ) -> torch.Tensor:
        """Adds up the discriminator's gradients; returns its summed loss."""
        judge = models["discriminator"]
        pieces = iter(codes.tensor_split(-(-len(batch) // size)))

        def lost(part: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
            with torch.no_grad():
                fake = self.gan.generator(next(pieces))
            self.memory.entered()
            # Two passes, so that BatchNorm sees real and generated images apart.
            return self.loss.discriminator(judge(part[0]), judge(fake))

        return self._accumulate("discriminator", judge, lost, batch, islice(batch.micro_batches(size), passes))

    def _make_images(
        self, models: Networks, batch: Batch, codes: torch.Tensor, size: int, passes: int | None = None
    ) -> torch.Tensor:
        """Adds up the generator's gradients; returns its summed loss."""
        make = models["generator"]

        def lost(piece: torch.Tensor) -> torch.Tensor:
            self.memory.entered()
            return self.loss.generator(self.gan.discriminator(make(piece)))

        pieces = islice(codes.tensor_split(-(-len(batch) // size)), passes)
        return self._accumulate("generator", make, lost, batch, pieces)

    def _accumulate(
        self, name: str, model: nn.Module, lost: Callable[[Any], torch.Tensor], batch: Batch, parts: Iterable[Any]
    ) -> torch.Tensor:
        self.optimizers[name].zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.world.device)
        share, done = self.world.size / batch.global_size, 0
        for part in parts:
            done += len(part[0]) if isinstance(part, tuple) else len(part)
            last = done == len(batch)
            with synchronised(model, last=last):
                with torch.autocast(self.world.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
                    loss = lost(part)
                if last:
                    self.memory.agree()
                (loss * share).backward()
            total += loss.detach()
        return total

    def _move(self, name: str) -> None:
        """One optimiser step of one network."""
        if self.options.training.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.networks[name].parameters(), self.options.training.clip_norm)
        self.optimizers[name].step()
        self.schedules[name].after_step()

    def _judge(self, indices: torch.Tensor) -> GanEvaluator:
        """The judge of a split, whose real images are measured once."""
        key = indices.numpy().tobytes()
        if key not in self._judges:
            assert self.classifier is not None
            real, _ = self.samples.take(indices)
            self._judges[key] = GanEvaluator(self.classifier, real.cpu().numpy())
        return self._judges[key]
