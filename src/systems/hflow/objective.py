"""hflow's training objective: the noise of a step, three learning rates, the moving average, and metrics."""

__all__ = ["HFlowObjective", "latent_fractions"]

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from ...contracts.objective import Batch, Objective, UpdateGroup
from ...models.hflow.average import Average
from ...models.hflow.bound import Bound, noise_size
from ...models.hflow.initial import fit_actnorms
from ...models.parameters import load_arrays, state_arrays
from ...utils.logging import get_logger
from .bins import dequantise
from .inception_scores import inception_scores
from .measures import held_out_bits

if TYPE_CHECKING:
    from .system import HFlowSystem


class HFlowObjective(Objective):
    """The published objective: the weighted sum of the bits per number of every level (:class:`Bound`).

    It is not a bound of the likelihood: levels have weights, and conditions and targets get different noise. The noise
    is scaled by the spread over the batch of a step. :meth:`metrics` measures the quality of a run.
    """

    clips_jointly = True

    def __init__(self, system: "HFlowSystem"):
        super().__init__()
        self.system, self.config = system, system.config
        self.loss_names = ("loss", "bits_per_dim", *system.level_names)
        self.initial_samples = system.config.initial_samples
        self.noise_size = noise_size(system.options)

    def accumulation(self, world: int) -> int:
        """Steps that together see ``samples_per_grad_eval`` images, at least one."""
        return max(1, round(self.config.samples_per_grad_eval / (self.config.batch_size * world)))

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        """The dequantised images and the noise, drawn for this step and these images, so that workers differ."""
        image = batch["image"]
        self.system.check_size(image)
        rows = batch["id"] if "id" in batch else np.arange(len(image))
        rng = np.random.default_rng([self.config.seed, step, *(int(row) % 2**32 for row in rows)])
        image = dequantise(image, self.config.discretization_bits, rng, self.config.added_noise_std)
        return image, rng.standard_normal((len(image), self.noise_size), np.float32)

    def initialise(self, batch: Batch) -> None:
        """Fit the actnorms to the images of ``batch`` (published: 64)."""
        image, noise = (Tensor(array) for array in self.inputs(batch))
        networks, mode = self.system.networks, ms.get_context("mode")
        ms.set_context(mode=ms.PYNATIVE_MODE)
        try:
            fit_actnorms(networks["F"], image, noise)
        finally:
            ms.set_context(mode=mode)
        load_arrays(networks["F_ema"], state_arrays(networks["F"]))

    def learning_rates(self, epoch: int) -> tuple[float, float, float]:
        """Rates of encoders, decoders and flows in ``epoch`` (from 1).

        Every second epoch after ``learning_rate_decay_start`` all decay; from ``learning_rate_cut_encoders`` on the
        encoders are not trained.
        """
        config, past = self.config, epoch - 1
        decays = max(0, past // 2 - config.learning_rate_decay_start // 2)
        encoders = config.learning_rate_encoders * config.learning_rate_decay_encoders**decays
        if past >= config.learning_rate_cut_encoders:
            encoders = 0.0
        decay = config.learning_rate_decay**decays
        return encoders, config.learning_rate_decoders * decay, config.lr * decay

    def phase(self, epoch: int) -> Hashable:
        return self.learning_rates(epoch)

    @cached_property
    def _members(self) -> dict[str, dict]:
        members: dict[str, dict] = {"encoders": {}, "decoders": {}, "flows": {}}
        for name, parameter in self.system.trainable("F").items():
            kind = "encoders" if ".conv_e" in name else "decoders" if ".conv_d" in name else "flows"
            members[kind][name] = parameter
        return members

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        betas = {"beta1": self.config.beta1, "beta2": self.config.beta2}
        return tuple(
            UpdateGroup(kind, parameters, lr=rate, **betas)
            for (kind, parameters), rate in zip(self._members.items(), self.learning_rates(epoch), strict=True)
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        return _Gradients(_ScaledLoss(Bound(self.system.networks["F"]), self.config.discretization_bits), groups)

    @cached_property
    def average(self) -> Average:
        """``average(decay)`` moves ``F_ema`` towards ``F``; compiled once."""
        return Average(self.system.networks["F"], self.system.networks["F_ema"])

    def after_update(self, epoch: int, finite: Tensor) -> None:
        """Follow the weights: a plain copy in the first epoch, then a slow average; skipped updates change nothing."""
        decay = Tensor(0.0 if epoch == 1 else self.config.ema_decay, ms.float32)
        self.average(ops.select(finite > 0.5, decay, ops.ones_like(decay)))

    def explain_failure(self, batch: Batch, step: int = 0) -> str:
        """The level at which a value that is not finite enters, from the top down, and channel mixes at fault."""
        image, noise = (Tensor(array) for array in self.inputs(batch, step))
        _, bits = Bound(self.system.networks["F"])(image, noise)
        finite = np.isfinite(bits.asnumpy()).all(1)
        spatial = len(self.system.options.levels)
        for i in (*range(spatial, len(finite)), *reversed(range(spatial))):
            if not finite[i]:
                name = self.system.level_names[i]
                lost = self.system.lost_orthogonality("F")
                return f"The first level that is not finite, from the top down, is {name}. {lost}".rstrip()
        return "All levels are finite on this batch."

    def metrics(self, workers: Any) -> dict[str, float]:
        """Under their published TensorBoard tags: bits and loss of held-out images, FID and KID where weights are."""
        if lost := self.system.lost_orthogonality("F_ema"):
            get_logger().warning(f"nothing can be measured. {lost}")
            return {}
        bits = held_out_bits(self.system, workers=workers)
        metrics = {"likelihood_bound/bpd_eval_ema": bits.mean, "loss/eval_ema": bits.loss}
        scores = inception_scores(self.system, workers)
        return metrics | ({} if scores is None else {"fid/fid": scores["fid"], "fid/kid": scores["kid"]})


def latent_fractions(dims: Sequence[int], image_dim: int) -> np.ndarray:
    """(latents, 1) float32: the numbers of each latent for one of the image."""
    # the type last: numpy 1 divides float32 by a whole number above 65535, which 256x256 images have, in float64
    return (np.array(dims) / image_dim).astype(np.float32).reshape(-1, 1)


class _ScaledLoss(nn.Cell):
    """``construct(scale, image, noise)``: the loss times ``scale``, and the vector of losses.

    A colour value has ``2 ** bits`` bins.
    """

    def __init__(self, bound: Bound, bits: int):
        super().__init__()
        self.bound = bound
        self.bits = float(bits)
        self.fractions = Tensor(latent_fractions(bound.dims, bound.image_dim))

    def construct(self, scale: Tensor, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        loss, bits = self.bound(image, noise)
        # the density becomes the probability of a bin, which is 1 / 2 ** bits of the range
        joint = (bits * self.fractions).sum(0).mean() + self.bits
        return loss * scale, ops.cat((ops.stack((loss, joint)), bits.mean(1)))


class _Gradients(nn.Cell):
    """``construct(scale, image, noise) -> (losses, gradients of each group, ())``."""

    def __init__(self, loss: nn.Cell, groups: tuple[UpdateGroup, ...]):
        super().__init__()
        self.sizes = [len(group.parameters) for group in groups]
        weights = [parameter for group in groups for parameter in group.parameters.values()]
        self.of_loss = ms.value_and_grad(loss, None, ParameterTuple(weights), has_aux=True)

    def construct(
        self, scale: Tensor, image: Tensor, noise: Tensor
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...], tuple[()]]:
        (_, losses), gradients = self.of_loss(scale, image, noise)
        grouped, start = (), 0
        for size in self.sizes:
            grouped = (*grouped, gradients[start : start + size])
            start += size
        return losses, grouped, ()
