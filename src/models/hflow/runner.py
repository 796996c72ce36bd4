"""Images to latents, latents to images, samples: numpy in, numpy out, compiled once for each batch size."""

__all__ = ["Runner"]

from collections.abc import Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn

from src.models.hflow.network import HFlow
from src.models.passes import Pass, Port
from src.utils.errors import UserError


class _Decode(nn.Cell):
    def __init__(self, network: HFlow):
        super().__init__()
        self.network = network

    def construct(self, *latents):
        return self.network.generate(latents)


class Runner:
    """The passes of one network without noise.

    Images are float32 (N, 3, R, R) in [-0.5, 0.5]. Latents are a list: one (N, c, r, r) for each spatial level
    from fine to coarse, then one (N, c, 1, 1) for each part of the top; all standard normal under the model.
    """

    def __init__(self, network: HFlow):
        self.network = network
        self.shapes = network.options.latent_shapes
        self.stds = [level.prior_std for level in network.options.levels] + [1.0] * network.options.top.parts
        self.spatial = len(network.options.levels)
        self._encode = network
        self._decode = _Decode(network)

    def inverse(self, image: np.ndarray) -> list[np.ndarray]:
        """Images to latents."""
        return self.inverse_with_logdet(image)[0]

    def inverse_with_logdet(self, image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Images to latents and the log-determinant (N,) of the conditional flows of all levels, in nats.

        Raises:
            UserError: images of another shape.
        """
        image = np.asarray(image, np.float32)
        size = self.network.options.resolution
        if image.ndim != 4 or image.shape[1:] != (3, size, size):
            raise UserError(f"images of shape {image.shape} cannot be encoded: this model takes (N, 3, {size}, {size})")
        latents, logdets = self._encode(Tensor(image))
        return [z.asnumpy() for z in latents], sum(logdet.asnumpy() for logdet in logdets)

    def forward(self, latents: Sequence[np.ndarray]) -> np.ndarray:
        """Latents to images, about [-0.5, 0.5] and not clamped."""
        return self.forward_with_logdet(latents)[0]

    def forward_with_logdet(self, latents: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Latents to images and the log-determinant of this direction: that of ``inverse`` with the other sign.

        Raises:
            UserError: a list of another length, or an entry of another shape.
        """
        arrays = [np.ascontiguousarray(z, np.float32) for z in latents]
        self.check(arrays)
        image, logdets = self._decode(*(Tensor(z) for z in arrays))
        return image.asnumpy(), sum(logdet.asnumpy() for logdet in logdets)

    def passes(self) -> tuple[Pass, ...]:
        """``encode``, images to latents, and ``sample``, latents to images, with the log-determinants of both."""
        size, count = self.network.options.resolution, len(self.shapes)
        image = Port("image", ("batch", 3, size, size), column="image", gain=0.5)
        names = [f"latent_{i}" for i in range(count)]
        logdets = [f"logdet_{i}" for i in range(count)]
        latents = [Port(name, ("batch", *shape)) for name, shape in zip(names, self.shapes, strict=True)]
        return (
            Pass(
                "encode",
                self._encode,
                (image,),
                (*names, *logdets),
                partial(setattr, self, "_encode"),
                lambda results: (tuple(results[:count]), tuple(results[count:])),
            ),
            Pass(
                "sample",
                self._decode,
                tuple(latents),
                ("image", *logdets),
                partial(setattr, self, "_decode"),
                lambda results: (results[0], tuple(results[1:])),
            ),
        )

    def check(self, latents: Sequence[np.ndarray]) -> None:
        """Raise ``UserError`` unless ``latents`` are what :meth:`inverse` returns for some batch."""
        if len(latents) != len(self.shapes):
            raise UserError(
                f"{len(latents)} latents given, but this model has {len(self.shapes)}: "
                f"{', '.join(str(('N', *shape)).replace(chr(39), '') for shape in self.shapes)}"
            )
        batch = latents[0].shape[0] if latents[0].ndim else 0
        for i, (z, shape) in enumerate(zip(latents, self.shapes, strict=True)):
            if z.shape != (batch, *shape):
                raise UserError(f"latent {i} has shape {z.shape}, expected {(batch, *shape)}")

    def draw(
        self,
        count: int,
        std: float | Sequence[float],
        seed: int | Sequence[int] = 0,
        begin: int = 0,
        end: int | None = None,
    ) -> list[np.ndarray]:
        """Latents of ``count`` images: deviation ``std`` on the spatial levels and 1 at the top, as published.

        A sequence gives each latent its own. A latent depends on ``seed`` and its place alone, not on ``count``; of the
        places those from ``begin`` up to ``end`` are drawn.
        """
        given = np.atleast_1d(std).tolist()
        stds = given if np.ndim(std) else given * self.spatial + [1.0] * (len(self.shapes) - self.spatial)
        if len(stds) != len(self.shapes):
            raise UserError(f"{len(stds)} deviations given for {len(self.shapes)} latents: give one, or one for each")
        latents = [[] for _ in self.shapes]
        for i in range(begin, count if end is None else end):
            rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), i])
            for j, shape in enumerate(self.shapes):
                latents[j].append(rng.standard_normal(shape, np.float32) * np.float32(stds[j] * self.stds[j]))
        return [np.stack(z) for z in latents]

    def sample(
        self, count: int, std: float | Sequence[float] = 0.8, seed: int | Sequence[int] = 0, batch_size: int = 0
    ) -> np.ndarray:
        """(count, 3, R, R) images from the prior, ``batch_size`` at a time (0: all)."""
        batch_size = batch_size or count
        images = []
        for begin in range(0, count, batch_size):
            # also the last batch is whole, so that one graph is compiled
            images.append(self.forward(self.draw(count, std, seed, begin, begin + batch_size)))
        return np.concatenate(images)[:count]
