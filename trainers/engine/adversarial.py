"""A generator and a discriminator, each with an optimiser: GANs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from trainers.data.batch import Batch
from trainers.data.seeds import mix
from trainers.data.training_batches import TrainingBatches
from trainers.engine.learner import Learner, Part
from trainers.engine.micro_batch import AutoMicroBatch
from trainers.engine.optim import make_optimizer
from trainers.engine.precision import autocast
from trainers.engine.rollback import rehearsal
from trainers.engine.schedule import LrSchedule
from trainers.engine.world import distribute
from trainers.experiment import Experiment
from trainers.models import Built, GanNetworks, parameter_groups_of
from trainers.tasks import COUNTS, AdversarialLoss, Classifier, GanEvaluator, generate, noise

PICTURES = 64
Networks = Mapping[str, nn.Module]  # the two by name, bare or distributed
FIXED, MEASURED = 1, 2  # what noise is for, so that no two uses share it


class Adversarial(Learner):
    """The learner of GANs: in each step the discriminator learns first, then the generator.

    Its samples are measured by a classifier of the same images, on rank 0.

    Args:
        classifier: that measures, on rank 0.
    """

    counts = COUNTS

    def __init__(
        self,
        options: Experiment,
        built: Built,
        classifier: Classifier | None,
        batches: TrainingBatches,
        micro_batch: AutoMicroBatch,
    ) -> None:
        super().__init__(options, batches, micro_batch)
        self.classifier = classifier
        self.loss = AdversarialLoss(options.loss, options.training.label_smoothing)
        self.gan = cast("GanNetworks", built.module.to(self.world.device))
        self.module = self.gan
        self.networks = {"generator": self.gan.generator, "discriminator": self.gan.discriminator}
        self._distribute()
        self._average(self.gan.generator)
        rates = {"generator": None, "discriminator": options.optimizer.discriminator_lr}
        self.optimizers = {
            name: make_optimizer(options.optimizer, parameter_groups_of(self.networks[name]), lr=rate)
            for name, rate in rates.items()
        }
        self.schedules = {
            name: LrSchedule(options.schedule, optimizer, epochs=options.training.epochs, steps=self.steps)
            for name, optimizer in self.optimizers.items()
        }
        self._judges: dict[bytes, GanEvaluator] = {}
        self._step = 0

    @property
    def rate(self) -> float:
        """The generator's learning rate."""
        return float(self.optimizers["generator"].param_groups[-1]["lr"])

    def enter_stage(self, epoch: int) -> bool:
        """Everything is trained from the first epoch on."""
        return False

    def begin_epoch(self, epoch: int) -> None:
        """Enters training mode."""
        self.module.train()
        self.micro_batch.watch(self.module)
        self._epoch, self._step = epoch, 0

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of each of the two; returns their losses."""
        key = mix(self.options.seed, self._epoch, self._step)
        self._step += 1
        codes = self._codes(batch, key)
        tally = torch.zeros(len(COUNTS), dtype=torch.float64, device=self.world.device)
        tally[0] = self.micro_batch.run_or_shrink(lambda size: self._judge_images(self.models, batch, codes, size))
        self._move("discriminator")
        # Frozen meanwhile: its gradients are not wanted, nor may its DDP wrapper wait for them.
        self.gan.discriminator.requires_grad_(False)
        tally[1] = self.micro_batch.run_or_shrink(lambda size: self._make_images(self.models, batch, codes, size))
        self._move("generator")
        self.gan.discriminator.requires_grad_(True)
        if self.ema is not None:
            self.ema.update(self.gan.generator)
        tally[2] = len(batch)
        return tally

    def rehearse(self, batch: Batch, size: int) -> None:
        codes = self._codes(batch, 0)
        with self._both_trained(), rehearsal(self.module, self.world):
            # Two passes each: the second finds the gradients of the first in its way.
            self._judge_images(self.networks, batch, codes, size, passes=2)
            self._make_images(self.networks, batch, codes, size, passes=2)
            for network in self.networks.values():
                make_optimizer(self.options.optimizer, parameter_groups_of(network)).step()

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        for schedule in self.schedules.values():
            schedule.after_epoch(metrics.get("frechet", 0.0))

    def evaluate(self, indices: torch.Tensor, *, answers: bool = False) -> tuple[dict[str, float], torch.Tensor]:
        """How samples compare with the real images of a split; there are no answers.

        Rank 0 measures, and tells the others.
        """
        for network in (self.module, self.evaluated):  # in the same order on every rank
            self.world.copy_from_first(network, buffers_only=True)
        if not len(indices):
            return {}, torch.zeros(0)
        metrics: dict[str, float] | None = None
        if self.world.is_first:
            codes = noise(self.options.gan.samples, self.gan.latent, mix(self.options.seed, MEASURED))
            made = torch.cat(
                list(self.inference.map(codes, lambda part: generate(self.evaluated, part.to(self.world.device))))
            )
            metrics = self._judge(indices).metrics(self.samples.normalise.undo(made).cpu().numpy())
        return self.world.dict_from_first(metrics), torch.zeros(0)

    def picture(self, indices: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None] | None:
        """Samples from noise that stays the same throughout."""
        codes = noise(PICTURES, self.gan.latent, mix(self.options.seed, FIXED)).to(self.world.device)
        return self.samples.normalise.undo(generate(self.evaluated, codes)).cpu().numpy(), None

    def model_state(self) -> dict[str, torch.Tensor]:
        """Of both networks; the generator's averaged ones where an average is kept."""
        generator = {f"generator.{name}": tensor for name, tensor in self.evaluated.state_dict().items()}
        return self.module.state_dict() | generator

    def load_model_state(self, weights: Mapping[str, torch.Tensor] | None) -> None:
        if weights is not None:
            self.module.load_state_dict(weights)
        self.world.copy_from_first(self.module)
        if self.ema is not None:
            self.ema.module.load_state_dict(self.gan.generator.state_dict())

    def training_state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            name: {"optimizer": self.optimizers[name].state_dict(), "schedule": self.schedules[name].state_dict()}
            for name in self.optimizers
        }
        return state | super().training_state()

    def restore(self, weights: Mapping[str, torch.Tensor], state: Mapping[str, Any], epoch: int) -> None:
        """Goes back to where they were taken, whatever the epoch; raises as `Learner.restore`."""
        super().restore(weights, state, epoch)
        for name in self.optimizers:
            self.optimizers[name].load_state_dict(state[name]["optimizer"])
            self.schedules[name].load_state_dict(state[name]["schedule"])

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

        def measure(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
            with autocast(self.world.device, self.dtype):
                with torch.no_grad():
                    fake = self.gan.generator(next(pieces))
                self.micro_batch.entered()
                # Two passes, so that BatchNorm sees real and generated images apart.
                loss = self.loss.discriminator(judge(part[0]), judge(fake))
            return loss, loss.detach().double()

        parts = islice(batch.micro_batches(size), passes)
        return self._accumulate(self.optimizers["discriminator"], judge, batch, parts, measure)

    def _make_images(
        self, models: Networks, batch: Batch, codes: torch.Tensor, size: int, passes: int | None = None
    ) -> torch.Tensor:
        """Adds up the generator's gradients; returns its summed loss."""
        make = models["generator"]

        def measure(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
            with autocast(self.world.device, self.dtype):
                self.micro_batch.entered()
                loss = self.loss.generator(self.gan.discriminator(make(part[0])))
            return loss, loss.detach().double()

        parts = islice(zip(codes.tensor_split(-(-len(batch) // size)), strict=True), passes)
        return self._accumulate(self.optimizers["generator"], make, batch, parts, measure)

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
