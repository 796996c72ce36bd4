"""hflow from Python: samples, pictures to latents and back."""

__all__ = ["ImageFlowModel"]

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.dataset.imagefolder import to_square
from src.inference.model import Model, in_batches
from src.inference.pictures import Form, as_units, check_output
from src.utils.errors import UserError
from src.utils.images import image_to_unit, unit_to_image


class ImageFlowModel(Model):
    """hflow: ``sample``, ``encode`` and ``decode`` with the averaged weights, at one resolution.

    Latents are a list of float32 arrays, (N, c, r, r) for each level from fine to coarse, then (N, c, 1, 1) for each
    part of the top. A picture survives ``decode(encode(picture))`` exactly; latents are more numbers than a picture
    has and do not survive the way through it. ``src.evaluation.hflow`` interpolates them.
    """

    offers = ("sample", "encode", "decode")

    @property
    def resolution(self) -> int:
        """Height and width of pictures in pixels."""
        return self.system.options.resolution

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each latent of one picture."""
        return [tuple(shape) for shape in self.system.runner.shapes]

    def sample(
        self,
        n: int = 1,
        std: float | Sequence[float] | None = None,
        seed: int = 0,
        batch_size: int = 0,
        output: str | None = None,
    ) -> Any:
        """``n`` pictures from the prior: uint8 (n, R, R, 3), or a list of PIL images.

        Args:
            n: pictures, at least 1; picture i depends on ``seed`` and i alone.
            std: deviation of the spatial levels (the top keeps 1), or one for each latent; by default
                ``sample_base_sigma`` of the run. At least 0.
            seed: of the noise.
            batch_size: pictures computed together; 0 takes all.
            output: ``numpy``, ``pil`` or ``float``.

        Raises:
            UserError: ``n`` below 1, a negative deviation, or another number of deviations than latents.
        """
        check_output(output)
        std = self.config.sample_base_sigma if std is None else std
        if n < 1 or batch_size < 0:
            raise UserError(f"n {n} is below 1" if n < 1 else f"batch_size {batch_size} is below 0")
        if not np.min(std) >= 0:
            raise UserError(f"std {std} is below zero: 0 is the mode, 1 the model's distribution")
        made = self.system.runner.sample(n, std, seed, batch_size)
        return Form("stack", (False,) * n).pictures(list(2.0 * made), output)

    def encode(self, images: Any, fit: str = "squash", batch_size: int = 1) -> list[np.ndarray]:
        """Latents of pictures, all of them in one list of arrays.

        Args:
            images: pictures (H, W, 3); other sizes are brought to the resolution, Lanczos.
            fit: ``squash`` resizes both sides, ``crop`` cuts the middle square out first.
            batch_size: pictures computed together.
        """
        if fit not in ("squash", "crop"):
            raise UserError(f"fit {fit} is not one of squash, crop")
        units, _ = as_units(images, 3)
        samples = [{"image": np.float32(0.5) * self._square(unit, fit)} for unit in units]
        latents = in_batches(samples, batch_size, lambda batch: self.system.runner.inverse(batch["image"]))
        return [np.concatenate(parts) for parts in zip(*latents, strict=True)]

    def _square(self, unit: np.ndarray, fit: str) -> np.ndarray:
        if unit.shape[1:] == (self.resolution, self.resolution):
            return unit
        return image_to_unit(to_square(unit_to_image(unit), self.resolution, fit))

    def decode(self, latents: Sequence[np.ndarray], batch_size: int = 1, output: str | None = None) -> Any:
        """Pictures that latents stand for: uint8 (N, R, R, 3), or a list of PIL images.

        Raises:
            UserError: latents of other shapes than :attr:`latent_shapes`.
        """
        check_output(output)
        arrays = [np.asarray(z, np.float32) for z in latents]
        runner = self.system.runner
        runner.check(arrays)
        names = [str(i) for i in range(len(arrays))]
        samples = [dict(zip(names, (z[i] for z in arrays), strict=True)) for i in range(len(arrays[0]))]
        made = in_batches(samples, batch_size, lambda batch: runner.forward([batch[name] for name in names]))
        return Form("stack", (False,) * len(samples)).pictures([2.0 * image for image in made], output)
