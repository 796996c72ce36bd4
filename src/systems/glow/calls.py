"""Full-Glow, C-Glow and DUAL-Glow from Python: images drawn for a condition, and their latents."""

__all__ = ["ConditionalFlowModel"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...dataset.conditional import Preparation
from ...dataset.layouts import edges
from ...imaging.images import unit_to_image
from ...inference.arrays import Form, as_maps, as_units, check_output, match_length
from ...inference.model import Batch, Model, in_batches
from ...options.config import Config
from ...utils.errors import UserError
from ...utils.runtime import Device
from ...utils.text import counted
from .flow import FlowSystem


class ConditionalFlowModel(Model):
    """A conditional flow: ``sample``, ``translate`` (one sample each), ``encode``, ``decode`` and :meth:`resample`.

    Conditions are label maps (H, W) of class numbers where :attr:`label_nc` is above 0, which are coloured as the
    training data was; everywhere images (H, W, C) are understood. The network has one size, :attr:`size`: other sizes
    are brought to it as the data set does, and results have it. Models with boundary maps (``use_bmaps``) take
    ``instances``, maps (H, W) whose borders they are. Latents are a list of float32 arrays (N, c, h, w), from fine to
    coarse, one for each level; temperatures are at least 0.
    """

    system: FlowSystem
    offers = ("sample", "translate", "encode", "decode", "resample")

    def __init__(self, system: FlowSystem, config: Config, folder: Path, tag: str, device: Device):
        super().__init__(system, config, folder, tag, device)
        self.prepare = Preparation(system.request(config, training=False), config)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of conditions and images."""
        return tuple(self.config.img_size)

    @property
    def label_nc(self) -> int:
        """Classes of the label maps that are conditions; 0 where conditions are images."""
        return self.prepare.label_nc

    @property
    def latent_shapes(self) -> list[tuple[int, ...]]:
        """Shape of each latent of one image."""
        return [tuple(shape) for shape in self.system.network.latent_shapes]

    def sample(
        self,
        conditions: Any,
        temperature: float | Sequence[float] | None = None,
        seed: int | Sequence[int] = 0,
        n: int | None = None,
        instances: Any = None,
        batch_size: int = 1,
        output: str | None = None,
    ) -> Any:
        """Draw images for conditions.

        Args:
            conditions: label maps or images, see the class.
            temperature: 0 is the mode, 1 the model's distribution; one for all levels or one for each, from fine to
                coarse; by default ``temp`` of the run.
            seed: seed of the noise, one for all levels or one for each. A sample depends on it, its place and its
                number alone; evaluation draws the same.
            n: images for each condition; None is one, without an axis of its own.
            instances: for models with boundary maps.
            batch_size, output: see :class:`Model`.

        Returns:
            Images in the form of ``conditions``; with ``n`` an array (n, H, W, C) or list of PIL images for each.
        """
        check_output(output)
        if n is not None and n < 1:
            raise UserError(f"n {n} is below 1")
        samples, form = self._samples(conditions, instances)
        temperature = self.config.temp if temperature is None else temperature
        per_sample = [
            [self._noise(temperature, seed, k, index) for k in range(n or 1)] for index in range(len(samples))
        ]
        expanded = [
            s | {f"z{i}": z for i, z in enumerate(zs)} for s, own in zip(samples, per_sample, strict=True) for zs in own
        ]
        made = in_batches(expanded, batch_size, lambda batch: self._decoded(batch, raw=False))
        if n is None:
            return form.pictures(made, output)
        results = []
        for index in range(len(samples)):
            several = Form("stack", (form.pil[index],) * n)
            results.append(several.pictures(made[index * n : (index + 1) * n], output))
        return form.result(results)

    def translate(
        self, conditions: Any, instances: Any = None, seed: int = 0, batch_size: int = 1, output: str | None = None
    ) -> Any:
        """One sample for every condition at the run's temperature."""
        return self.sample(conditions, None, seed, None, instances, batch_size, output)

    def encode(self, images: Any, conditions: Any, instances: Any = None, batch_size: int = 1) -> list[np.ndarray]:
        """Latents of images under conditions, all of them in one list of arrays (N, c, h, w)."""
        samples, _ = self._samples(conditions, instances)
        self._add_images(samples, images)
        latents = in_batches(samples, batch_size, self.system.encode)
        return [np.concatenate(parts) for parts in zip(*latents, strict=True)]

    def decode(
        self,
        latents: Sequence[np.ndarray],
        conditions: Any,
        instances: Any = None,
        batch_size: int = 1,
        output: str | None = None,
    ) -> Any:
        """Decode latents under conditions, which may differ from those that they were encoded with.

        Raises:
            UserError: latents of other shapes than :attr:`latent_shapes`, or not as many as conditions.
        """
        check_output(output)
        samples, form = self._samples(conditions, instances)
        arrays = [np.asarray(z, np.float32) for z in latents]
        if [z.shape[1:] for z in arrays] != self.latent_shapes:
            raise UserError(
                f"latents of shapes {[z.shape for z in arrays]} do not fit: those of one image are {self.latent_shapes}"
            )
        for z in arrays:
            if len(z) != len(samples):
                raise UserError(f"latents of {counted(len(z), 'image')} for {counted(len(samples), 'condition')}")
        for index, sample in enumerate(samples):
            sample |= {f"z{i}": z[index] for i, z in enumerate(arrays)}
        return form.pictures(in_batches(samples, batch_size, lambda batch: self._decoded(batch, raw=True)), output)

    def resample(
        self,
        images: Any,
        conditions: Any,
        levels: Sequence[int],
        temperature: float | Sequence[float] | None = None,
        seed: int | Sequence[int] = 0,
        instances: Any = None,
        batch_size: int = 1,
        output: str | None = None,
    ) -> Any:
        """Images whose latents of ``levels`` (from 0, the finest) are drawn anew, the others kept.

        Raises:
            UserError: a level that the network does not have.
        """
        check_output(output)
        samples, form = self._samples(conditions, instances)
        self._add_images(samples, images)
        temperature = self.config.temp if temperature is None else temperature
        for index, sample in enumerate(samples):
            sample |= {f"z{i}": z for i, z in enumerate(self._noise(temperature, seed, 0, index))}
        made = in_batches(samples, batch_size, lambda batch: self.system.redraw(batch, self._latents(batch), levels))
        return form.pictures(made, output)

    # -- inputs ------------------------------------------------------------------------------------------------

    def _noise(self, temperature: Any, seed: Any, index: int, place: int) -> list[np.ndarray]:
        """Noise of one sample, level by level, the same as evaluation draws where one seed serves all levels."""
        count = len(self.latent_shapes)
        temperatures = match_length(list(np.atleast_1d(temperature)), count, "temperatures")
        seeds = match_length([int(s) for s in np.atleast_1d(seed)], count, "seeds")
        if not min(temperatures) >= 0:
            raise UserError(f"temperature {min(temperatures)} is below zero: 0 is the mode, 1 the model's distribution")
        if min(seeds) < 0:
            raise UserError(f"seed {min(seeds)} is below zero")
        streams = {s: self.system.noise([[s, index, place]]) for s in set(seeds)}
        return [np.float32(t) * streams[s][i][0] for i, (t, s) in enumerate(zip(temperatures, seeds, strict=True))]

    def _latents(self, batch: Batch) -> list[np.ndarray]:
        return [batch[f"z{i}"] for i in range(len(self.latent_shapes))]

    def _decoded(self, batch: Batch, raw: bool) -> np.ndarray:
        return self.system.decode(batch, self._latents(batch), raw)

    def _samples(self, conditions: Any, instances: Any) -> tuple[list[Batch], Form]:
        prepare = self.prepare
        if prepare.label_nc and _are_maps(conditions):
            maps, form = as_maps(conditions, "condition", prepare.label_nc)
            units = [prepare.prepared("condition", prepare.coded(ids)) for ids in maps]
        else:
            if prepare.planes:
                raise UserError(f"conditions of this model are maps (H, W) of numbers below {prepare.planes}")
            units, form = as_units(conditions, self.config.condition_nc, "condition")
            units = [self._fitted("condition", unit) for unit in units]
        samples = [{"condition": unit} for unit in units]
        if self.system.network.use_bmaps:
            if instances is None:
                raise UserError("this model was trained with boundary maps: pass instances, whose borders they are")
            maps = match_length(as_maps(instances, "instance map")[0], len(samples), "instance maps")
            for sample, ids in zip(samples, maps, strict=True):
                sample["boundary"] = prepare.prepared("boundary", edges(ids))
        elif instances is not None:
            raise UserError("this model was trained without boundary maps: leave instances out")
        return samples, form

    def _add_images(self, samples: list[Batch], images: Any) -> None:
        units, _ = as_units(images, self.config.image_nc)
        for sample, unit in zip(samples, match_length(units, len(samples), "images"), strict=True):
            sample["image"] = self._fitted("image", unit)

    def _fitted(self, column: str, unit: np.ndarray) -> np.ndarray:
        """An image in [-1, 1] at the network's size, through 8 bits as the data set's where it has another."""
        if unit.shape[1:] == self.size:
            return unit
        image = unit_to_image(unit)
        return self.prepare.prepared(column, image[:, :, 0] if image.shape[2] == 1 else image)


def _are_maps(conditions: Any) -> bool:
    """Whether conditions are class numbers rather than colours."""
    first = conditions[0] if isinstance(conditions, (list, tuple)) and conditions else conditions
    if isinstance(first, Image.Image):
        return first.mode not in ("RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "PA")
    if not isinstance(first, np.ndarray) or first.dtype.kind not in "iu":
        return False
    # a stack of maps has as many axes as an image, whose last one is its few channels
    return first.ndim == 2 or (first.ndim == 3 and first.shape[2] not in (1, 3, 4))
