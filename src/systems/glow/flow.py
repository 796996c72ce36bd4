"""A conditional flow as a system: samples, likelihoods and latents of images under a condition."""

__all__ = ["FlowSystem", "Latents", "as_colours", "draws_labels", "image_size"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops

from ...contracts.passes import Pass, Port
from ...contracts.round_trip import RoundTrip, eagerly
from ...contracts.system import Batch, System
from ...dataset.conditional import CONDITIONAL, ConditionalRequest
from ...imaging.images import to_rgb, unit_to_image
from ...models.glow.directions import Decode, Encode
from ...models.glow.fullglow import BOUNDARY_CHANNELS
from ...models.glow.network import ConditionalFlow
from ...options.config import Config
from ...utils.errors import UserError
from .inputs import NO_BOUNDARY, condition_inputs, network_inputs, sample_ids
from .objective import FlowObjective
from .published import FlowWeights

if TYPE_CHECKING:
    from .calls import ConditionalFlowModel
    from .studio import FlowStudio

_NETWORK = "glow"
Latents = list[np.ndarray]


class FlowSystem(System):
    """A flow on ``image`` given ``condition``.

    Batches: ``condition`` float32 (N, C_a, H, W) and ``image`` float32 (N, C_b, H, W), both in [-1, 1] and of
    ``img_size``; ``boundary`` float32 (N, 3, H, W) in [0, 1] with ``use_bmaps``; ``id`` (N,). The networks see [0, 1].
    Images that were reduced to 8 bits are dequantised with uniform noise of width 1/256, in training and wherever
    likelihoods are measured, but not where images are encoded or sampled. Latents are a list of float32 arrays, one a
    level, from fine to coarse.

    Batches that do not have the size and channels of the network, and results that are not finite, are a ``UserError``.
    """

    data = CONDITIONAL
    published = FlowWeights()
    architecture_keys: ClassVar[tuple[str, ...]] = (
        "model", "img_size", "n_block", "n_flow", "image_nc", "condition_nc",
    )  # fmt: skip
    pixel_keys: ClassVar[tuple[str, ...]] = ("img_size",)
    #: options that keep all ops of such a network invertible, for messages
    safeguards: ClassVar[str] = ""

    def __init__(self, config: Config, training: bool = True):
        super().__init__(config, training)
        if config.precision != "fp32":
            raise UserError(f"flows invert exactly only in float32: precision {config.precision} breaks them; use fp32")
        self.add_network(_NETWORK, self.build())
        self._encode, self._decode = Encode(self.network), Decode(self.network)
        advice = "take an earlier checkpoint (--which_epoch); --check_invertible True says how every block fares"
        self.round_trip = RoundTrip(self.name, self._there_and_back, advice)

    def build(self) -> ConditionalFlow:
        """The network that the options describe."""
        raise NotImplementedError

    def common_options(self) -> dict[str, Any]:
        """Arguments that all three networks take."""
        config, n_flow = self.config, list(self.config.n_flow)
        if len(n_flow) == 1:
            n_flow *= config.n_block
        if len(n_flow) != config.n_block:
            raise UserError(
                f"n_flow {config.n_flow} has {len(n_flow)} entries for n_block {config.n_block}: "
                "give one number of flows for every block"
            )
        return {
            "size": image_size(config),
            "n_flow": n_flow,
            "channels": config.image_nc,
            "condition_channels": config.condition_nc,
            "memory": self._memory(),
            "seed": config.seed,
        }

    def _memory(self) -> str:
        """What is kept for the backward pass."""
        if not self.training:
            return "store"
        if self.config.reconstruct:
            return "reconstruct"
        return "recompute" if self.config.recompute else "store"

    @property
    def network(self) -> ConditionalFlow:
        """The flow."""
        return self.networks[_NETWORK]

    @classmethod
    def request(cls, config: Config, training: bool) -> ConditionalRequest:
        options = {"condition": "condition_nc", "image": "image_nc"}
        return ConditionalRequest(image_size(config), config.condition_nc, config.image_nc, channel_options=options)

    def objective(self, size: tuple[int, int]) -> FlowObjective:
        config = self.config
        return FlowObjective(
            self.network,
            self.trainable(_NETWORK),
            reg_factor=config.reg_factor,
            lr=config.lr,
            beta1=config.beta1,
            beta2=config.beta2,
            seed=config.seed,
            drift_freq=config.drift_freq if config.reconstruct else 0,
            drift_tolerance=config.drift_tolerance,
            safeguards=self.safeguards,
        )

    @property
    def draws_labels(self) -> bool:
        return draws_labels(self.config)

    # -- arrays as the network takes them ----------------------------------------------------------------------------

    def analyse(
        self, x_a: np.ndarray, x_b: np.ndarray, boundary: np.ndarray = NO_BOUNDARY
    ) -> tuple[np.ndarray, np.ndarray, Latents]:
        """Bits per dimension of condition and target, (N,) each, and raw latents; images in [0, 1].

        Dequantise before asking for bits; encode without noise to get an image back exactly.
        """
        bits_a, bits_b, latents = self._encode(Tensor(x_a), Tensor(x_b), Tensor(boundary))
        bits_a, bits_b = bits_a.asnumpy(), bits_b.asnumpy()
        self._check_finite("likelihood", bits_a, bits_b)
        self._require_inverse(x_a, x_b, boundary)
        return bits_a, bits_b, [z.asnumpy() for z in latents]

    def synthesise(
        self,
        x_a: np.ndarray,
        latents: Latents,
        raw: bool | Sequence[bool] = True,
        boundary: np.ndarray = NO_BOUNDARY,
    ) -> np.ndarray:
        """Decode latents under the condition ``x_a`` in [0, 1] to the image (N, C, H, W) in about [0, 1].

        ``raw``, for all or for every level: latents as :meth:`analyse` returned them, or standard normal noise.
        """
        shapes = [(len(x_a), *shape) for shape in self.network.latent_shapes]
        if [z.shape for z in latents] != shapes:
            raise UserError(f"latents of shapes {[z.shape for z in latents]} do not fit: this network has {shapes}")
        flags = np.broadcast_to(np.asarray(raw, np.float32), (len(shapes),)).copy()
        tensors = (Tensor(z.astype(np.float32)) for z in latents)
        image = self._decode(Tensor(x_a), Tensor(boundary), Tensor(flags), *tensors).asnumpy()
        self._check_finite("image", image)
        self._require_inverse(x_a, image, boundary)
        return image

    def _require_inverse(self, x_a: np.ndarray, x_b: np.ndarray, boundary: np.ndarray) -> None:
        # training shows images of a flow that has learnt little yet, and other runtimes have their own arithmetic
        if not self.training and isinstance(self._decode, Decode):
            self.round_trip.require(x_b, x_a, boundary)

    def _there_and_back(self, x_b: Tensor, x_a: Tensor, boundary: Tensor) -> Tensor:
        latents = self.network(x_a, x_b, boundary)[4]
        return self.network.decode(x_a, latents, ops.ones((len(latents),), ms.float32), boundary)

    def _check_finite(self, what: str, *results: np.ndarray) -> None:
        """Raise ``UserError`` where a flow cannot be inverted, with the name of a singular matrix if it has one."""
        if all(np.isfinite(x).all() for x in results):
            return
        singular = self.network.singular_mixing()
        reason = (
            f"the 1x1 matrix of {singular} has no inverse"
            if singular
            else "an op cannot be inverted here, or the temperature is too high"
        )
        raise UserError(
            f"this flow makes a {what} that is not finite: {reason}. --check_invertible True says how every block "
            f"fares; take an earlier checkpoint (--which_epoch), or train with {self.safeguards or 'a lower --lr'}"
        )

    def passes(self) -> tuple[Pass, ...]:
        """``encode``, with bits per dimension, and ``sample``, which also decodes: ``raw`` says which of the latents
        are raw ones. Noise comes in, so a temperature multiplies it outside."""
        net = self.network
        condition, image = self._port("condition", net.condition_channels), self._port("image", net.channels)
        boundary = Port("boundary", NO_BOUNDARY.shape)
        if net.use_bmaps:
            boundary = Port("boundary", ("batch", BOUNDARY_CHANNELS, *net.size), column="boundary", high=2)
        names = [f"latent_{level}" for level in range(net.n_block)]
        latents = [Port(name, ("batch", *shape)) for name, shape in zip(names, net.latent_shapes, strict=True)]
        return (
            Pass(
                "encode",
                self._encode,
                (condition, image, boundary),
                ("bits_condition", "bits", *names),
                partial(setattr, self, "_encode"),
                lambda results: (results[0], results[1], tuple(results[2:])),
            ),
            Pass(
                "sample",
                self._decode,
                (condition, boundary, Port("raw", (net.n_block,), high=2), *latents),
                ("image",),
                partial(setattr, self, "_decode"),
            ),
        )

    def _port(self, name: str, channels: int) -> Port:
        return Port(name, ("batch", channels, *self.network.size), column=name, gain=0.5, offset=0.5)

    def reconstruction_errors(self, inputs: Sequence[np.ndarray]) -> dict[str, float]:
        """Worst relative error of an input rebuilt from the output, for every block."""
        return eagerly(self.network.reconstruction_errors, inputs)

    # -- batches -----------------------------------------------------------------------------------------------------

    def bits_per_dimension(self, batch: Batch, seed: int = 0) -> np.ndarray:
        """Conditional bits per dimension of every image, (N,), dequantised with noise that ``seed`` and ``id`` fix."""
        return self.analyse(*network_inputs(self.network, batch, (seed,)))[1]

    def encode(self, batch: Batch) -> Latents:
        """Raw latents of ``image`` under ``condition``."""
        return self.analyse(*network_inputs(self.network, batch))[2]

    def decode(self, batch: Batch, latents: Latents, raw: bool | Sequence[bool] = True) -> np.ndarray:
        """Decode ``latents`` under ``condition`` to images in [-1, 1]; ``raw`` as in :meth:`synthesise`."""
        x_a, boundary = condition_inputs(self.network, batch)
        x = self.synthesise(x_a, latents, raw, boundary)
        return np.clip(2.0 * x - 1.0, -1.0, 1.0)

    def noise(self, seeds: Sequence[Sequence[int]], temperature: float = 1.0) -> Latents:
        """Standard normal latents times ``temperature``, a stream of its own for every sample.

        Raises:
            UserError: the temperature is negative.
        """
        if not temperature >= 0:
            raise UserError(f"temperature {temperature} is below zero: 0 is the mode, 1 the model's distribution")
        streams = [np.random.default_rng(seed) for seed in seeds]
        return [
            np.stack([np.float32(temperature) * s.standard_normal(shape, np.float32) for s in streams])
            for shape in self.network.latent_shapes
        ]

    def sample(self, batch: Batch, temperature: float = 1.0, seed: int = 0, index: int = 0) -> np.ndarray:
        """Images (N, C, H, W) in [-1, 1] for ``condition``; ``index`` numbers the samples of one condition."""
        noise = self.noise([[seed, index, i] for i in sample_ids(batch)], temperature)
        return self.decode(batch, noise, raw=False)

    def redraw(self, batch: Batch, noise: Latents, levels: Sequence[int]) -> np.ndarray:
        """``image`` with ``noise`` for the latents of ``levels`` (from 0, the finest) and its own for the others.

        Raises:
            UserError: the network has no such level.
        """
        count = self.network.n_block
        unknown = [level for level in levels if not 0 <= level < count]
        if unknown:
            raise UserError(f"level {unknown[0]} is not one of 0..{count - 1}")
        own = self.encode(batch)
        latents = [noise[level] if level in levels else own[level] for level in range(count)]
        return self.decode(batch, latents, [level not in levels for level in range(count)])

    def resample(self, batch: Batch, levels: Sequence[int], temperature: float = 1.0, seed: int = 0) -> np.ndarray:
        """``image`` with the latents of ``levels`` drawn anew: see :meth:`redraw`."""
        return self.redraw(batch, self.noise([[seed, i] for i in sample_ids(batch)], temperature), levels)

    def translate(self, batch: Batch, seed: int = 0) -> Batch:
        """``n_samples`` samples at temperature ``temp`` for every condition."""
        images = {}
        for index in range(self.config.n_samples):
            name = "synthesized_image" + (f"_{index + 1}" if index else "")
            images[name] = self.sample(batch, self.config.temp, seed, index)
        return images

    def visuals(self, batch: Batch, outputs: Batch) -> Batch:
        if not outputs:
            # a training step makes no image
            outputs = self.translate({name: array[:1] for name, array in batch.items()}, self.config.seed)
        units = {"condition": batch["condition"], **outputs}
        if "image" in batch:
            units["real_image"] = batch["image"]
        return {name: as_colours(array[0]) for name, array in units.items()}

    @classmethod
    def model_class(cls) -> "type[ConditionalFlowModel]":
        from .calls import ConditionalFlowModel

        return ConditionalFlowModel

    @classmethod
    def tasks(cls) -> "Mapping[str, Callable[[ConditionalFlowModel, Config], int]]":
        from .tasks import TASKS

        return TASKS

    @classmethod
    def studio_class(cls) -> "type[FlowStudio]":
        from .studio import FlowStudio

        return FlowStudio


def as_colours(unit: np.ndarray) -> np.ndarray:
    """(C, H, W) in [-1, 1] to (H, W, 3) uint8."""
    return to_rgb(unit_to_image(unit))


def draws_labels(config: Config) -> bool:
    """Whether the images of ``mapping`` are label maps in colours."""
    return config.mapping.endswith("2label")


def image_size(config: Config) -> tuple[int, int]:
    """Option ``img_size`` as (height, width)."""
    if len(config.img_size) != 2:
        raise UserError(f"img_size {config.img_size} is not a height and a width: --img_size 256 512")
    return tuple(config.img_size)
