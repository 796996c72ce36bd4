"""Full-Glow, C-Glow and DUAL-Glow as systems: what a step trains, and what a trained flow can do."""

__all__ = ["CGlowSystem", "DualGlowSystem", "FlowSystem", "FullGlowSystem"]

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import ParameterTuple, Tensor, nn

from src.models.glow.cglow import CGlow
from src.models.glow.dualglow import DualGlow
from src.models.glow.fullglow import FullGlow
from src.models.glow.losses import FlowGradients, FlowObjective
from src.models.glow.network import ConditionalFlow
from src.models.glow.published import cglow_options, fullglow_options
from src.models.glow.runner import FlowRunner, Latents
from src.models.passes import Pass
from src.models.system import System, UpdateGroup
from src.utils.errors import UserError
from src.utils.images import unit_to_image

_NETWORK = "glow"
_BINS = 256
_NO_BOUNDARY = np.zeros((1, 1, 1, 1), np.float32)
#: constant parts of the published LU mixings, which are no state here
_CONSTANTS = ("l_eye", "l_mask", "u_mask")

Batch = dict[str, np.ndarray]


class FlowSystem(System):
    """A flow on ``image`` given ``condition``.

    Batches: ``condition`` float32 (N, C_a, H, W) and ``image`` float32 (N, C_b, H, W), both in [-1, 1] and of
    ``img_size``; ``boundary`` float32 (N, 3, H, W) in [0, 1] with ``use_bmaps``; ``id`` (N,). The networks
    see [0, 1]. Pictures that were reduced to 8 bits are dequantised with uniform noise of width 1/256, in
    training and wherever likelihoods are measured, but not where pictures are encoded or sampled.
    """

    dataset = "conditional"
    architecture_keys = ("model", "img_size", "n_block", "n_flow", "image_nc", "condition_nc")

    def __init__(self, config: Any, training: bool = True):
        super().__init__(config, training)
        if config.precision != "fp32":
            raise UserError(f"flows invert exactly only in float32: precision {config.precision} breaks them; use fp32")
        self.n_flow = list(config.n_flow)
        if len(self.n_flow) == 1:
            self.n_flow *= config.n_block
        if len(self.n_flow) != config.n_block:
            raise UserError(
                f"n_flow {config.n_flow} has {len(self.n_flow)} entries for n_block {config.n_block}: "
                "give one number of flows for every block"
            )
        if len(config.img_size) != 2:
            raise UserError(f"img_size {config.img_size} is not [height, width]")
        self.add_network(_NETWORK, self.build(self.memory(training)))
        self.runner = FlowRunner(self.network)
        self.loss_names = ("total", "bits_condition", "bits") if self.network.models_condition else ("bits",)

    def build(self, memory: str) -> ConditionalFlow:
        """The network that the options describe."""
        raise NotImplementedError

    def memory(self, training: bool) -> str:
        """What the backward pass keeps."""
        if not training:
            return "store"
        if self.config.reconstruct:
            return "reconstruct"
        return "recompute" if self.config.recompute else "store"

    def common_options(self, memory: str) -> dict[str, Any]:
        """Arguments that all three networks take."""
        config = self.config
        return {
            "size": tuple(config.img_size),
            "n_flow": self.n_flow,
            "channels": config.image_nc,
            "condition_channels": config.condition_nc,
            "memory": memory,
            "seed": config.seed,
        }

    @property
    def network(self) -> ConditionalFlow:
        """The flow."""
        return self.networks[_NETWORK]

    # -- training
    # ----------------------------------------------------------------------------------------------

    def model_inputs(self, batch: Batch, seed: tuple[int, ...] | None = None) -> list[np.ndarray]:
        """``[x_a, x_b, boundary]`` as the network takes them; dequantised if ``seed`` is given.

        The noise of a sample follows from ``seed`` and its ``id`` alone, whatever the batch and the worker.
        """
        pictures = [0.5 * batch[name] + np.float32(0.5) for name in ("condition", "image")]
        if seed is not None:
            ids = batch.get("id", np.arange(len(pictures[0])))
            for row, index in enumerate(ids):
                rng = np.random.default_rng([*seed, int(index) % 2**32])
                for x in pictures:
                    x[row] += rng.random(x[row].shape, np.float32) / np.float32(_BINS)
        return [*pictures, batch.get("boundary", _NO_BOUNDARY)]

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        inputs = self.model_inputs(batch, (self.config.seed, step))
        self.check_sizes(batch)
        if self.config.reconstruct and step % self.config.drift_freq == 0:
            self.check_drift(inputs)
        return tuple(inputs)

    def check_sizes(self, batch: Batch) -> None:
        """Raise ``UserError`` unless pictures and boundary maps fit the network."""
        self.runner.check("condition", batch["condition"], self.network.condition_channels)
        if "image" in batch:
            self.runner.check("picture", batch["image"], self.network.channels)
        self.runner.check_boundary(batch.get("boundary"))

    def check_drift(self, inputs: list[np.ndarray]) -> None:
        """Raise ``UserError`` where inputs rebuilt from outputs are too far from the true ones for good
        gradients."""
        errors = self.reconstruction_errors(inputs)
        worst = max(errors, key=errors.get)
        if not errors[worst] <= self.config.drift_tolerance:
            raise UserError(
                f"rebuilding the inputs of {worst} from its output is off by {errors[worst]:.1e}, more than "
                f"drift_tolerance {self.config.drift_tolerance:.0e}: gradients would be wrong. Train with "
                "--reconstruct False --recompute True, or with --scale_limit 2 from the start"
            )

    def reconstruction_errors(self, inputs: list[np.ndarray]) -> dict[str, float]:
        """Worst relative error of an input rebuilt from the output, for every block."""
        return _eagerly(self.network.reconstruction_errors, inputs)

    def explain_failure(self, batch: Batch, step: int = 0) -> str:
        """Which op first makes something that is not finite of this batch, and what to do about it."""
        place = _eagerly(self.network.first_failure, self.model_inputs(batch, (self.config.seed, step)))
        if place is None:
            return "On this batch every op is finite: it is a gradient that is not."
        hint = ""
        if "InvertibleConv" in place and "LU" not in place:
            hint = "; its 1x1 matrix is singular, which the LU form cannot be: --do_lu True"
        elif "ActNorm" in place:
            hint = "; its scale has gone through zero, which --scale_limit 2 prevents"
        return f"The first of them is in {place}{hint}."

    def initialise(self, batch: Batch) -> None:
        self.check_sizes(batch)
        _eagerly(self.network.initialise, self.model_inputs(batch, (self.config.seed, 0)))

    def update_groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        config = self.config
        options = {"lr": config.lr, "beta1": config.beta1, "beta2": config.beta2}
        return (UpdateGroup(_NETWORK, self.trainable(_NETWORK), **options),)

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        objective = FlowObjective(self.network, self.config.reg_factor)
        return FlowGradients(objective, ParameterTuple(list(groups[0].parameters.values())))

    def training_outputs(self, outputs: tuple) -> dict[str, np.ndarray]:
        return {}

    # -- what a trained flow does
    # ------------------------------------------------------------------------------

    def bits_per_dimension(self, batch: Batch, seed: int = 0) -> np.ndarray:
        """Conditional bits per dimension of every picture, (N,), dequantised with noise that ``seed`` and
        ``id`` fix."""
        return self.runner.analyse(*self._given(batch, (seed,)))[1]

    def sample(self, batch: Batch, temperature: float = 1.0, seed: int = 0, index: int = 0) -> np.ndarray:
        """Pictures (N, C, H, W) in [-1, 1] for ``condition``; ``index`` numbers the samples of one
        condition."""
        ids = batch.get("id", np.arange(len(batch["condition"])))
        noise = self.runner.noise([[seed, index, int(i) % 2**32] for i in ids], temperature)
        return self.decode(batch, noise, raw=False)

    def encode(self, batch: Batch) -> Latents:
        """Raw latents of ``image`` under ``condition``, one array a level."""
        return self.runner.analyse(*self._given(batch))[2]

    def decode(self, batch: Batch, latents: Latents, raw=True) -> np.ndarray:
        """Pictures in [-1, 1] that ``latents`` stand for under ``condition``; ``raw`` as in
        :class:`FlowRunner`."""
        x_a = 0.5 * batch["condition"] + np.float32(0.5)
        x = self.runner.decode(x_a, latents, raw, batch.get("boundary"))
        return np.clip(2.0 * x - 1.0, -1.0, 1.0)

    def reconstruct(self, batch: Batch) -> np.ndarray:
        """``image`` through its latents and back: the same up to rounding."""
        return self.decode(batch, self.encode(batch))

    def transfer(self, content: Batch, structure: Batch) -> np.ndarray:
        """The look of ``content``'s image under ``structure``'s condition: its raw latents, decoded with the
        other."""
        return self.decode(structure, self.encode(content))

    def interpolate(self, first: Batch, second: Batch, frames: int) -> list[np.ndarray]:
        """``frames`` pictures from ``first``'s image to ``second``'s, linearly in all latents and in the
        condition."""
        ends = self.encode(first), self.encode(second)
        pictures = []
        for k in np.linspace(0.0, 1.0, frames, dtype=np.float32):
            latents = [(1 - k) * a + k * b for a, b in zip(*ends, strict=True)]
            between = {
                name: (1 - k) * first[name] + k * second[name] for name in ("condition", "boundary") if name in first
            }
            pictures.append(self.decode(between, latents))
        return pictures

    def resample(self, batch: Batch, levels: list[int], temperature: float = 1.0, seed: int = 0) -> np.ndarray:
        """``image`` with the latents of ``levels`` (from 0, the finest) drawn anew and the others kept."""
        unknown = [level for level in levels if not 0 <= level < self.network.n_block]
        if unknown:
            raise UserError(f"level {unknown[0]} is not one of 0..{self.network.n_block - 1}")
        ids = batch.get("id", np.arange(len(batch["condition"])))
        noise = self.runner.noise([[seed, int(i) % 2**32] for i in ids], temperature)
        latents = self.encode(batch)
        for level in levels:
            latents[level] = noise[level]
        return self.decode(batch, latents, [level not in levels for level in range(self.network.n_block)])

    def _given(self, batch: Batch, seed: tuple[int, ...] | None = None) -> list[np.ndarray | None]:
        x_a, x_b, _ = self.model_inputs(batch, seed)
        return [x_a, x_b, batch.get("boundary")]

    def translate(self, batch: Batch, seed: int = 0) -> dict[str, np.ndarray]:
        """``n_samples`` samples at temperature ``temp`` for every condition."""
        pictures = {}
        for index in range(self.config.n_samples):
            name = "synthesized_image" + (f"_{index + 1}" if index else "")
            pictures[name] = self.sample(batch, self.config.temp, seed, index)
        return pictures

    def passes(self) -> tuple[Pass, ...]:
        return self.runner.passes()

    def visuals(self, batch: Batch, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not outputs:
            # a training step makes no picture
            outputs = self.translate({name: array[:1] for name, array in batch.items()}, self.config.seed)
        shown = {"condition": _as_picture(batch["condition"][0])}
        shown |= {name: _as_picture(value[0]) for name, value in outputs.items()}
        if "image" in batch:
            shown["real_image"] = _as_picture(batch["image"][0])
        return shown

    @classmethod
    def published_names(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: a for name, a in arrays.items() if name.rpartition(".")[2] not in _CONSTANTS}

    def check_published(self, network: str, arrays: dict[str, np.ndarray], source: str) -> None:
        own = {name: p.shape for name, p in self.network.parameters_and_names()}
        for name, array in arrays.items():
            # the first dense layer behind a picture without pooling: its inputs count pixels
            if not name.endswith(("linear_net.linear_net.0.weight", "x_Linear.0.weight")) or name not in own:
                continue
            if own[name][0] == array.shape[0] and own[name][1] != array.shape[1]:
                raise UserError(
                    f"{source} was trained at another picture size: {name} reads {array.shape[1]} values there, and "
                    f"{own[name][1]} with --img_size {list(self.network.size)}. These weights belong to one size: "
                    "pass the --img_size they were trained with"
                )


class FullGlowSystem(FlowSystem):
    """Full-Glow, see :class:`src.models.glow.fullglow.FullGlow`; published names are ours."""

    name = "fullglow"
    architecture_keys = (
        *FlowSystem.architecture_keys, "do_lu", "use_bmaps", "do_ceil", "coupling_filters", "scale_limit",
    )  # fmt: skip

    @classmethod
    def published_options(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
        return fullglow_options(arrays)

    def build(self, memory: str) -> FullGlow:
        config = self.config
        if config.scale_limit and not config.do_lu:
            raise UserError("scale_limit bounds every scale, but plain 1x1 matrices have none: add --do_lu True")
        return FullGlow(
            do_lu=config.do_lu,
            use_bmaps=config.use_bmaps,
            do_ceil=config.do_ceil,
            width=config.coupling_filters,
            limit=config.scale_limit or None,
            **self.common_options(memory),
        )


class CGlowSystem(FlowSystem):
    """C-Glow, see :class:`src.models.glow.cglow.CGlow`; published names are ours."""

    name = "cglow"
    architecture_keys = (
        *FlowSystem.architecture_keys, "x_hidden_size", "x_hidden_channels", "y_hidden_channels",
    )  # fmt: skip

    @classmethod
    def published_options(cls, network: str, arrays: dict[str, np.ndarray]) -> dict[str, object]:
        return cglow_options(arrays)

    def build(self, memory: str) -> CGlow:
        config = self.config
        return CGlow(
            x_hidden_size=config.x_hidden_size,
            x_hidden_channels=config.x_hidden_channels,
            y_hidden_channels=config.y_hidden_channels,
            cond_init=config.cond_init,
            **self.common_options(memory),
        )


class DualGlowSystem(FlowSystem):
    """DUAL-Glow, see :class:`src.models.glow.dualglow.DualGlow`."""

    name = "dualglow"
    architecture_keys = (*FlowSystem.architecture_keys, "coupling_filters")

    def build(self, memory: str) -> DualGlow:
        return DualGlow(width=self.config.coupling_filters, **self.common_options(memory))


def _eagerly(function, arrays: list[np.ndarray]):
    """Call a walk through the network operator by operator, whatever the execution mode."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    try:
        return function(*(Tensor(array) for array in arrays))
    finally:
        ms.set_context(mode=mode)


def _as_picture(unit: np.ndarray) -> np.ndarray:
    """(C, H, W) in [-1, 1] to (H, W, 3) uint8; planes that mark a class are shown by the brightness of its
    number."""
    if unit.shape[0] not in (1, 3):
        index = unit.argmax(0)[None].astype(np.float32)
        unit = 2.0 * index / max(1, unit.shape[0] - 1) - 1.0
    if unit.shape[0] == 1:
        unit = np.repeat(unit, 3, 0)
    return unit_to_image(unit)
