"""hflow from Python: samples, images to latents and back, and the published names for it."""

__all__ = ["ImageFlowModel", "interpolate_latents"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...dataset.imagefolder import FITS, to_square
from ...imaging.images import read_image
from ...inference.arrays import Form, as_units, check_output, fitted
from ...inference.model import Model, in_batches
from ...utils.errors import UserError
from .system import HFlowSystem


class ImageFlowModel(Model):
    """hflow: ``sample``, ``encode`` and ``decode`` with the averaged weights, at one resolution.

    Latents are a list of float32 arrays, (N, c, r, r) for each level from fine to coarse, then (N, c, 1, 1) for each
    part of the top. An image survives ``decode(encode(image))`` exactly; latents are more numbers than an image has and
    do not survive the way through it. :func:`interpolate_latents` goes from one list to another.

    The published calls are :class:`HFlowModel`'s ``from_path``, then ``load_img``, ``inverse`` and ``forward``: images
    are float32 (N, 3, R, R) in [-0.5, 0.5] there, not clamped.
    """

    system: HFlowSystem
    offers = ("sample", "encode", "decode")

    @property
    def resolution(self) -> int:
        """Height and width of images in pixels."""
        return self.system.options.resolution

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each latent of one image."""
        return [tuple(shape) for shape in self.system.options.latent_shapes]

    def sample(
        self,
        n: int = 1,
        std: float | Sequence[float] | None = None,
        seed: int = 0,
        batch_size: int = 0,
        output: str | None = None,
    ) -> Any:
        """``n`` images from the prior: uint8 (n, R, R, 3), or a list of PIL images.

        Args:
            n: images, at least 1; image i depends on ``seed`` and i alone.
            std: standard deviation of the spatial levels (the top keeps 1), or one for each latent; by default
                ``sample_base_sigma`` of the run. At least 0.
            seed: seed of the noise.
            batch_size: images computed together; 0 takes all.
            output: ``numpy``, ``pil`` or ``float``.

        Raises:
            UserError: ``n`` below 1, a negative standard deviation, or neither one of them nor one for each latent.
        """
        check_output(output)
        std = self.config.sample_base_sigma if std is None else std
        if n < 1 or batch_size < 0:
            raise UserError(f"n {n} is below 1" if n < 1 else f"batch_size {batch_size} is below 0")
        if not np.min(std) >= 0:
            raise UserError(f"std {std} is below zero: 0 is the mode, 1 the model's distribution")
        made = self.system.sample(n, std, seed, batch_size)
        return Form("stack", (False,) * n).pictures(list(2.0 * made), output)

    def encode(self, images: Any, fit: str = "squash", batch_size: int = 1) -> list[np.ndarray]:
        """Latents of images, all of them in one list of arrays.

        Args:
            images: (H, W, 3); other sizes are brought to the resolution, Lanczos.
            fit: ``squash`` resizes both sides, ``crop`` cuts the middle square out first.
            batch_size: images computed together.
        """
        _check_fit(fit)
        side = self.resolution
        units = [fitted(u, (side, side), lambda image: to_square(image, side, fit)) for u in as_units(images, 3)[0]]
        samples = [{"image": np.float32(0.5) * unit} for unit in units]
        latents = in_batches(samples, batch_size, lambda batch: self.inverse(batch["image"]))
        return [np.concatenate(parts) for parts in zip(*latents, strict=True)]

    def decode(self, latents: Sequence[np.ndarray], batch_size: int = 1, output: str | None = None) -> Any:
        """Decode latents to images: uint8 (N, R, R, 3), or a list of PIL images.

        Raises:
            UserError: latents of other shapes than :attr:`latent_shapes`.
        """
        check_output(output)
        arrays = [np.asarray(z, np.float32) for z in latents]
        self.system.check_latents(arrays)
        names = [str(i) for i in range(len(arrays))]
        samples = [dict(zip(names, (z[i] for z in arrays), strict=True)) for i in range(len(arrays[0]))]
        made = in_batches(samples, batch_size, lambda batch: self.forward([batch[name] for name in names]))
        return Form("stack", (False,) * len(samples)).pictures([2.0 * image for image in made], output)

    # -- the published names -----------------------------------------------------------------------------------------

    def load_img(self, path: str | Path, fit: str = "squash") -> np.ndarray:
        """Read an image file as (1, 3, R, R); ``fit`` as in :meth:`encode`."""
        _check_fit(fit)
        image = to_square(read_image(path, 3), self.resolution, fit)
        return (image.transpose(2, 0, 1)[None].astype(np.float32) / 255.0) - np.float32(0.5)

    def inverse(self, image: np.ndarray) -> list[np.ndarray]:
        """Images to latents."""
        return self.system.encode(image)[0]

    def forward(self, latents: Sequence[np.ndarray]) -> np.ndarray:
        """Latents to images."""
        return self.system.decode(latents)[0]


def _check_fit(fit: str) -> None:
    if fit not in FITS:
        raise UserError(f"fit {fit} is not one of squash, crop")


def interpolate_latents(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], fraction: float, spherical: bool = False
) -> list[np.ndarray]:
    """Latents on the way from ``a`` (fraction 0) to ``b`` (fraction 1), each latent by itself.

    Straight, as published by default, or along the great circle of each sample's vector, which keeps its norm typical
    of the prior; latents that are parallel are interpolated straight.
    """
    if not spherical:
        return [((1.0 - fraction) * x + fraction * y).astype(np.float32) for x, y in zip(a, b, strict=True)]
    return [_slerp(x, y, fraction) for x, y in zip(a, b, strict=True)]


def _slerp(a: np.ndarray, b: np.ndarray, fraction: float) -> np.ndarray:
    x, y = (z.reshape(len(z), -1).astype(np.float64) for z in (a, b))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    angle = np.arccos(np.clip((x * y).sum(1) / np.maximum(norms, 1e-12), -1.0, 1.0))
    straight = np.sin(angle) < 1e-6
    sine = np.where(straight, 1.0, np.sin(angle))
    first = np.where(straight, 1.0 - fraction, np.sin((1.0 - fraction) * angle) / sine)
    second = np.where(straight, fraction, np.sin(fraction * angle) / sine)
    return (first[:, None] * x + second[:, None] * y).reshape(a.shape).astype(np.float32)
