"""hflow as a system: the noise of a step, its three learning rates, and what is looked at."""

__all__ = ["HFlowSystem", "flat_options", "image_grid", "latent_shares", "model_options"]

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops

from src.models.hflow.average import Average
from src.models.hflow.initial import fit_actnorms, init_parameters
from src.models.hflow.network import HFlow
from src.models.hflow.objective import Objective, noise_size
from src.models.hflow.options import HFlowOptions, from_published
from src.models.hflow.published import is_published_file, published_arrays, read_published
from src.models.hflow.runner import Runner
from src.models.passes import Pass
from src.models.state import load_arrays, state_arrays
from src.models.system import System, UpdateGroup
from src.utils.errors import UserError
from src.utils.images import unit_to_image

_MODEL_KEYS = (
    "resolutions", "channels", "skips_channels", "loss_weights", "prior_stds", "num_layers", "encoder_channels",
    "decoder_channels", "encoder_decoder_kernels", "rnvp_channels", "rnvp_kernel_sizes", "unet_c_mult",
    "permute_scaling", "pooling_type", "unet_n_downscales", "flow_split_types", "cond_out_c", "global_net_channels",
    "augmentation_types", "decoder_rel_noise", "use_unitary_permute", "encoder_lr_scale", "decoder_lr_scale",
)  # fmt: skip
_TOP_KEYS = (
    "endres", "block_y0", "channels", "cond_output_channels", "mask_for_style_ind", "mask_for_base_ind", "layers",
    "rnvp_channels", "style_rel_noises", "style_rel_noise_scale", "use_unitary_permute", "permute_scaling",
    "mapping_network_lr_scale", "tot_channels", "autoencoder_channels", "global_state_hidden_channels",
)  # fmt: skip


def model_options(config: Any) -> HFlowOptions:
    """The network that a flat configuration describes; keys of the top are the published ones after ``endblock_``."""
    settings = {key: getattr(config, key) for key in _MODEL_KEYS}
    top = {key: getattr(config, f"endblock_{key}") for key in _TOP_KEYS}
    top["endblock_tot_channels"] = top.pop("tot_channels")
    return from_published(settings | {"endblock_settings": top}, "the configuration")


def flat_options(settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration keys that a published settings tree stands for: the inverse of :func:`model_options`."""
    published = from_published(settings, "the checkpoint's settings").published
    top = dict(published["endblock_settings"])
    top["tot_channels"] = top.pop("endblock_tot_channels")
    return {key: published[key] for key in _MODEL_KEYS} | {f"endblock_{key}": top[key] for key in _TOP_KEYS}


class HFlowSystem(System):
    """Timonen, Aittala and Lehtinen 2023, "Invertible Hierarchical Generative Model for Images".

    Batches: ``image`` float32 (N, 3, R, R) in [-1, 1], made from 8-bit pictures at the resolution of the configuration.
    ``F`` is trained; ``F_ema``, its moving average, is what samples, encodes and is evaluated.
    """

    name = "hflow"
    dataset = "images"
    architecture_keys = ("model", *_MODEL_KEYS, *(f"endblock_{key}" for key in _TOP_KEYS))
    #: the norm that clipping measures is that of all groups together
    clips_jointly = True

    def __init__(self, config: Any, training: bool = True):
        super().__init__(config, training)
        if config.precision != "fp32":
            raise UserError(
                f"hflow is exact only in float32: precision {config.precision} breaks its inverse; use --precision fp32"
            )
        self.options = model_options(config)
        self.noise_size = noise_size(self.options)
        levels = [str(level.resolution) for level in self.options.levels]
        tops = [f"1_{i}" for i in range(self.options.top.parts)]
        self.level_names = tuple(f"bits_{name}" for name in (*levels, *tops))
        for network in ("F", "F_ema") if training else ("F_ema",):
            cell = HFlow(self.options)
            init_parameters(cell, config.seed)
            self.add_network(network, cell)
        if training:
            if config.recompute:
                self.networks["F"].recompute_blocks()
            self.loss_names = ("loss", "bits_per_dim", *self.level_names)

    @property
    def stride(self) -> int:
        return self.options.resolution

    @property
    def initial_samples(self) -> int:
        return self.config.initial_samples

    def accumulation(self, world: int) -> int:
        """Steps that together see ``samples_per_grad_eval`` pictures, at least one."""
        return max(1, round(self.config.samples_per_grad_eval / (self.config.batch_size * world)))

    # -- training --------------------------------------------------------------------------------------------

    def quantise(self, image: np.ndarray) -> np.ndarray:
        """Pictures in [-1, 1] to the lower edges of their ``2 ** discretization_bits`` bins in [0, 1), float64."""
        bits = self.config.discretization_bits
        values = np.rint((image.astype(np.float64) + 1.0) * 127.5).clip(0, 255)
        return (values.astype(np.int64) >> (8 - bits)) / 2.0**bits

    def dequantise(self, image: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """Pictures in [-1, 1] to the model's [-0.5, 0.5], reduced to ``discretization_bits``.

        ``rng`` spreads each value over its bin and adds the published noise (``added_noise_std``); without it each
        value is the lower edge of its bin, as in published evaluation.
        """
        values = self.quantise(image)
        if rng is not None:
            values = values + rng.random(image.shape) / 2.0**self.config.discretization_bits
            values = values + rng.standard_normal(image.shape) * self.config.added_noise_std
        return (values - 0.5).astype(np.float32)

    def check_size(self, image: np.ndarray) -> None:
        """Raise ``UserError`` unless (N, 3, H, W) pictures have the resolution of the network."""
        size = self.options.resolution
        if image.shape[1:] != (3, size, size):
            raise UserError(
                f"pictures of shape {'x'.join(map(str, image.shape[1:]))} do not fit this network, which takes "
                f"3x{size}x{size}: build the data set with --resolution {size}, or use the preset of its resolution"
            )

    def inputs(self, batch: dict[str, np.ndarray], step: int = 0) -> tuple[np.ndarray, ...]:
        """The dequantised pictures and the noise, drawn for this step and these pictures, so that workers differ."""
        self.check_size(batch["image"])
        rows = batch["id"] if "id" in batch else np.arange(len(batch["image"]))
        rng = np.random.default_rng([self.config.seed, step, *(int(row) % 2**32 for row in rows)])
        image = self.dequantise(batch["image"], rng)
        return image, rng.standard_normal((len(image), self.noise_size), np.float32)

    def initialise(self, batch: dict[str, np.ndarray]) -> None:
        """Fit the actnorms to the pictures of ``batch`` (published: 64)."""
        image, noise = (Tensor(array) for array in self.inputs(batch))
        mode = ms.get_context("mode")
        ms.set_context(mode=ms.PYNATIVE_MODE)
        try:
            fit_actnorms(self.networks["F"], image, noise)
        finally:
            ms.set_context(mode=mode)
        load_arrays(self.networks["F_ema"], state_arrays(self.networks["F"]))

    def learning_rates(self, epoch: int) -> tuple[float, float, float]:
        """Rates of encoders, decoders and flows in ``epoch`` (from 1).

        Every second epoch after ``learning_rate_decay_start`` all decay; from ``learning_rate_cut_encoders`` on the
        encoders stand still.
        """
        config, past = self.config, epoch - 1
        decays = max(0, past // 2 - config.learning_rate_decay_start // 2)
        encoders = config.learning_rate_encoders * config.learning_rate_decay_encoders**decays
        if past >= config.learning_rate_cut_encoders:
            encoders = 0.0
        decay = config.learning_rate_decay**decays
        return encoders, config.learning_rate_decoders * decay, config.lr * decay

    @cached_property
    def _members(self) -> dict[str, dict]:
        members: dict[str, dict] = {"encoders": {}, "decoders": {}, "flows": {}}
        for name, parameter in self.trainable("F").items():
            kind = "encoders" if ".conv_e" in name else "decoders" if ".conv_d" in name else "flows"
            members[kind][name] = parameter
        return members

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        options = {"beta1": self.config.beta1, "beta2": self.config.beta2}
        return tuple(
            UpdateGroup(kind, parameters, lr=rate, **options)
            for (kind, parameters), rate in zip(self._members.items(), self.learning_rates(epoch), strict=True)
        )

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        loss = _ScaledLoss(Objective(self.networks["F"]), self.config.discretization_bits)
        return _Gradients(loss, groups)

    @cached_property
    def average(self) -> nn.Cell:
        """``average(decay)`` moves ``F_ema`` towards ``F``; compiled once."""
        return Average(self.networks["F"], self.networks["F_ema"])

    def after_update(self, epoch: int) -> None:
        """Follow the weights once they were stepped: a plain copy in the first epoch, then a slow average."""
        self.average(Tensor(0.0 if epoch == 1 else self.config.ema_decay, ms.float32))

    def explain_failure(self, batch: dict[str, np.ndarray], step: int = 0) -> str:
        """The level at which a value that is not finite enters, from the top down."""
        image, noise = (Tensor(array) for array in self.inputs(batch, step))
        _, bits = Objective(self.networks["F"])(image, noise)
        finite = np.isfinite(bits.asnumpy()).all(1)
        spatial = len(self.options.levels)
        for i in (*range(spatial, len(finite)), *reversed(range(spatial))):
            if not finite[i]:
                return f"The first level that is not finite, from the top down, is {self.level_names[i]}."
        return "All levels are finite on this batch."

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        return {}

    # -- use -------------------------------------------------------------------------------------------------

    @cached_property
    def runner(self) -> Runner:
        """Encoding, decoding and sampling with the averaged weights."""
        return Runner(self.networks["F_ema"])

    @cached_property
    def bound(self) -> Objective:
        """The likelihood bound of the averaged weights."""
        return Objective(self.networks["F_ema"], strict=True)

    def translate(self, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
        """``reconstructed_image``: each picture through its latents and back, in [-1, 1]."""
        self.check_size(batch["image"])
        latents = self.runner.inverse(self.dequantise(batch["image"], None))
        return {"reconstructed_image": 2.0 * self.runner.forward(latents)}

    def passes(self) -> tuple[Pass, ...]:
        return self.runner.passes()

    def visuals(self, batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """A picture, its reconstruction, and in training the published grid: five rows of falling deviation."""
        shown = {}
        if "image" in batch:
            shown["real_image"] = unit_to_image(batch["image"][0])
        shown |= {name: unit_to_image(value[0]) for name, value in outputs.items()}
        return shown | ({"samples": self.sample_grid(self.config.seed)} if self.training else {})

    def sample_grid(self, seed: int) -> np.ndarray:
        """uint8 (H, W, 3): rows of deviation 1 and ``sample_base_sigma`` times 1, 0.8, 0.5, 0.3."""
        base = self.config.sample_base_sigma
        columns = 6 if self.options.resolution >= 256 else 12
        rows = []
        for i, std in enumerate((1.0, base, 0.8 * base, 0.5 * base, 0.3 * base)):
            rows.append(2.0 * self.runner.sample(columns, std, seed=seed + i))
        return image_grid(unit_to_image(np.concatenate(rows)), columns)

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return published_arrays(arrays)

    @classmethod
    def read_published(cls, path: Path) -> dict[str, np.ndarray] | None:
        """The averaged weights of a published ``model_iter_*.bin``: use them for ``F_ema``, and for ``F`` to go on."""
        return read_published(path).arrays if is_published_file(path) else None


def image_grid(images: np.ndarray, columns: int, frame: int = 1) -> np.ndarray:
    """(N, H, W, 3) uint8 pictures in rows of ``columns``, each in a white frame of ``frame`` pixels."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    padded = np.full((rows * columns, height + 2 * frame, width + 2 * frame, channels), 255, np.uint8)
    padded[:n, frame : frame + height, frame : frame + width] = images
    tiles = padded.reshape(rows, columns, *padded.shape[1:]).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(tiles.reshape(rows * padded.shape[1], columns * padded.shape[2], channels))


def latent_shares(dims: Sequence[int], image_dim: int) -> np.ndarray:
    """(latents, 1) float32: the numbers of each latent for one of the picture."""
    # the type last: numpy 1 divides float32 by a whole number above 65535, which 256x256 pictures have, in float64
    return (np.array(dims) / image_dim).astype(np.float32).reshape(-1, 1)


class _ScaledLoss(nn.Cell):
    def __init__(self, objective: Objective, bits: int):
        super().__init__()
        self.objective = objective
        self.bits = float(bits)
        self.shares = Tensor(latent_shares(objective.dims, objective.image_dim))

    def construct(self, scale, image, noise):
        loss, bits = self.objective(image, noise)
        # the density becomes the probability of a bin, which is 1 / 2 ** bits of the range
        joint = (bits * self.shares).sum(0).mean() + self.bits
        return loss * scale, ops.cat((ops.stack((loss, joint)), bits.mean(1)))


class _Gradients(nn.Cell):
    """``construct(scale, image, noise) -> (losses, gradients of each group, ())``."""

    def __init__(self, loss: nn.Cell, groups: tuple[UpdateGroup, ...]):
        super().__init__()
        self.sizes = [len(group.parameters) for group in groups]
        weights = [parameter for group in groups for parameter in group.parameters.values()]
        self.of_loss = ms.value_and_grad(loss, None, ParameterTuple(weights), has_aux=True)

    def construct(self, scale, image, noise):
        (_, losses), gradients = self.of_loss(scale, image, noise)
        grouped, start = (), 0
        for size in self.sizes:
            grouped = (*grouped, gradients[start : start + size])
            start += size
        return losses, grouped, ()
