"""A conditional flow as functions on numpy arrays."""

__all__ = ["FlowRunner"]

from collections.abc import Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn

from src.models.glow.fullglow import BOUNDARY_CHANNELS
from src.models.glow.losses import FlowObjective
from src.models.glow.network import ConditionalFlow
from src.models.passes import Pass, Port
from src.utils.errors import UserError

Latents = list[np.ndarray]
_NO_BOUNDARY = np.zeros((1, 1, 1, 1), np.float32)


class FlowRunner:
    """Likelihoods, latents and samples of a network; pictures are (N, C, H, W) in [0, 1], as the network
    takes them.

    Raises ``UserError`` wherever a condition does not have the size and channels of the network, and where a result
    is not finite.
    """

    def __init__(self, network: ConditionalFlow):
        self.network = network
        self._forward = _Forward(network)
        self._decode = _Decode(network)

    def analyse(self, x_a: np.ndarray, x_b: np.ndarray, boundary: np.ndarray | None = None):
        """``(bits_a, bits_b, latents)``: bits per dimension of condition and target, (N,) each, and raw
        latents.

        Dequantise before asking for bits; encode without noise to get a picture back exactly.
        """
        inputs = self._checked(x_a, boundary)
        self.check("picture", x_b, self.network.channels)
        bits_a, bits_b, latents = self._forward(inputs[0], Tensor(x_b), inputs[1])
        results = bits_a.asnumpy(), bits_b.asnumpy(), [z.asnumpy() for z in latents]
        self._check_finite("likelihood", results[0], results[1])
        return results

    def decode(
        self,
        x_a: np.ndarray,
        latents: Latents,
        raw: bool | Sequence[bool] = True,
        boundary: np.ndarray | None = None,
    ) -> np.ndarray:
        """The picture (N, C, H, W) that these latents stand for under the condition ``x_a``.

        ``raw``, for all or for every level: latents as :meth:`analyse` returned them, or standard normal
        noise.
        """
        inputs = self._checked(x_a, boundary)
        shapes = [(len(x_a), *shape) for shape in self.network.latent_shapes]
        if [z.shape for z in latents] != shapes:
            raise UserError(f"latents of shapes {[z.shape for z in latents]} do not fit: this network has {shapes}")
        flags = np.broadcast_to(np.asarray(raw, np.float32), (len(shapes),)).copy()
        tensors = (Tensor(z.astype(np.float32)) for z in latents)
        picture = self._decode(inputs[0], inputs[1], Tensor(flags), *tensors).asnumpy()
        self._check_finite("picture", picture)
        return picture

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

    def passes(self) -> tuple[Pass, ...]:
        """``encode``, with bits per dimension, and ``sample``, which also decodes: ``raw`` says which of the latents
        are raw ones. Noise comes in, so a temperature multiplies it outside."""
        net = self.network
        condition = self._port("condition", net.condition_channels)
        image = self._port("image", net.channels)
        boundary = Port("boundary", _NO_BOUNDARY.shape)
        if net.use_bmaps:
            boundary = Port("boundary", ("batch", BOUNDARY_CHANNELS, *net.size), column="boundary", high=2)
        names = [f"latent_{level}" for level in range(net.n_block)]
        latents = [Port(name, ("batch", *shape)) for name, shape in zip(names, net.latent_shapes, strict=True)]
        raw = Port("raw", (net.n_block,), high=2)
        return (
            Pass(
                "encode",
                self._forward,
                (condition, image, boundary),
                ("bits_condition", "bits", *names),
                partial(setattr, self, "_forward"),
                lambda results: (results[0], results[1], tuple(results[2:])),
            ),
            Pass(
                "sample",
                self._decode,
                (condition, boundary, raw, *latents),
                ("image",),
                partial(setattr, self, "_decode"),
            ),
        )

    def _port(self, name: str, channels: int) -> Port:
        return Port(name, ("batch", channels, *self.network.size), column=name, gain=0.5, offset=0.5)

    def check(self, what: str, x: np.ndarray, channels: int) -> None:
        """Raise ``UserError`` unless ``x`` is (N, ``channels``, H, W) of the network's size."""
        height, width = self.network.size
        if x.ndim != 4 or x.shape[1:] != (channels, height, width):
            shape = "x".join(map(str, x.shape[1:]))
            raise UserError(
                f"a {what} of {shape} (channels x height x width) does not fit this network, which takes "
                f"{channels}x{height}x{width} and no other size: resize it, or train with another --img_size"
            )

    def check_boundary(self, boundary: np.ndarray | None) -> None:
        """Raise ``UserError`` if the network needs a boundary map and this is none."""
        if self.network.use_bmaps:
            if boundary is None:
                raise UserError("this network was trained with boundary maps (use_bmaps), but the data has none")
            self.check("boundary map", boundary, BOUNDARY_CHANNELS)

    def _check_finite(self, what: str, *results: np.ndarray) -> None:
        """Raise ``UserError`` where a flow cannot be inverted, with the name of a singular matrix if it has one."""
        if all(np.isfinite(x).all() for x in results):
            return
        singular = self.network.singular_mixing()
        reason = (
            f"the 1x1 matrix of {singular} is singular"
            if singular
            else "an op cannot be inverted here, or the temperature is too high"
        )
        raise UserError(
            f"this flow makes a {what} that is not finite: {reason}. --check_invertible True says how every block "
            "fares; take an earlier checkpoint (--which_epoch), or train with --do_lu True --scale_limit 2"
        )

    def _checked(self, x_a: np.ndarray, boundary: np.ndarray | None) -> tuple[Tensor, Tensor]:
        self.check("condition", x_a, self.network.condition_channels)
        self.check_boundary(boundary)
        return Tensor(x_a), Tensor(boundary if self.network.use_bmaps else _NO_BOUNDARY)


class _Forward(nn.Cell):
    def __init__(self, network: ConditionalFlow):
        super().__init__()
        self.network = network
        self.objective = FlowObjective(network, 1.0)

    def construct(self, x_a, x_b, boundary):
        bits_a, bits_b, latents = self.objective.bits(x_a, x_b, boundary)
        return bits_a, bits_b, latents


class _Decode(nn.Cell):
    def __init__(self, network: ConditionalFlow):
        super().__init__()
        self.network = network

    def construct(self, x_a, boundary, raw, *latents):
        # one argument a level: a compiled graph takes the values of a tuple for constants
        return self.network.decode(x_a, latents, raw, boundary)
