"""pix2pixHD from Python: label maps (or images) to images, with a style for every instance."""

__all__ = ["PairedModel"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...dataset.id_maps import relabel
from ...imaging.regions import region_labels
from ...inference.arrays import as_maps, as_units, check_output, match_length
from ...inference.model import Batch, Model, in_batches
from ...inference.padding import pad_batch
from ...utils.errors import UserError
from .clusters import FeatureClusters, paint_regions
from .companions import cluster_file
from .system import Pix2PixHD

Styles = Mapping[int, "int | Sequence[float] | np.ndarray"]


class PairedModel(Model):
    """pix2pixHD: ``translate``, and ``encode`` where the run has instance features.

    Instance maps hold one number for each instance, 0..65535, in any order; with Cityscapes' convention that is the
    class for stuff and ``class * 1000 + k`` for things. The styles of a model with features are numbers in [-1, 1],
    ``feat_num`` of them for each instance (for each class with ``label_feat``).
    """

    system: Pix2PixHD
    offers: tuple[str, ...] = ("translate", "encode")

    def __init__(self, *trained: Any):
        super().__init__(*trained)
        if "E" not in self.system.networks:
            self.offers = ("translate",)

    @property
    def has_styles(self) -> bool:
        """Whether images depend on styles of instances or classes."""
        return self.system.uses_features

    @property
    def clusters(self) -> FeatureClusters | None:
        """The styles to draw from, where the run has its cluster file."""
        return self.system.clusters

    def styles(self, label: int) -> np.ndarray:
        """The styles to choose from for a class: its cluster centres, float (k, feat_num); k may be 0."""
        return np.zeros((0, self.config.feat_num)) if self.clusters is None else self.clusters.styles(label)

    def translate(
        self,
        labels: Any,
        instances: Any = None,
        styles: Styles | Sequence[Styles] | None = None,
        seed: int = 0,
        batch_size: int = 1,
        output: str | None = None,
    ) -> Any:
        """Synthesize.

        Args:
            labels: label maps (H, W) of class numbers below ``label_nc``; with ``label_nc 0`` images. Any size: maps
                are extended to a size that the networks take, at the bottom and right, and results cut back.
            instances: instance maps (H, W), as many as ``labels``; not for models without (``no_instance``).
            styles: for models with features, {instance number: style} for one image, or a list of them. A style is the
                number of a cluster of the instance's class, the most frequent label of its pixels, or ``feat_num``
                numbers in [-1, 1], such as :meth:`encode` returns. Instances that are not named are given a random
                cluster of their class (zeros where it has none), as evaluation does for the image of this place.
            seed: seed of the random styles.
            batch_size: images of one size that are computed together.
            output: ``numpy``, ``pil`` or ``float``; by default as ``labels``.

        Returns:
            Images (H, W, output_nc) in the form of ``labels``.

        Raises:
            UserError: maps of wrong type, range or size, missing instances, unknown styles, no clusters to draw from.
        """
        check_output(output)
        samples, form = self._samples(labels, instances)
        if self.has_styles:
            given = [styles] if styles is None or isinstance(styles, Mapping) else list(styles)
            for index, (sample, own) in enumerate(
                zip(samples, match_length(given, len(samples), "styles"), strict=True)
            ):
                sample["feat"] = self._painted(sample, own or {}, [seed, index])
        elif styles is not None:
            raise UserError("this model was trained without features, so that it has no styles: leave styles out")
        batches = [{k: v for k, v in sample.items() if k not in ("ids", "regions")} for sample in samples]
        made = in_batches(batches, batch_size, lambda batch: next(iter(self.run(batch, seed).values())))
        return form.pictures(made, output)

    def encode(self, images: Any, labels: Any, instances: Any = None, batch_size: int = 1) -> Any:
        """Styles of the instances in real images: the encoder's features, averaged over every instance.

        Args:
            images: images of the size of their label map.
            labels, instances, batch_size: as for :meth:`translate`.

        Returns:
            {instance number (class with ``label_feat``): float32 (feat_num,) in [-1, 1]}, or a list of them.

        Raises:
            UserError: the run has no encoder, or images and maps differ in size.
        """
        if "E" not in self.system.networks:
            self._lacks("encode")
        samples, form = self._samples(labels, instances)
        units, _ = as_units(images, self.config.output_nc)
        units = match_length(units, len(samples), "images")
        for index, (sample, unit) in enumerate(zip(samples, units, strict=True)):
            if unit.shape[1:] != sample["label"].shape[1:]:
                raise UserError(f"image {index} has shape {unit.shape[1:]}, its label map {sample['label'].shape[1:]}")
            sample["image"] = unit
        keep = ("label", "inst", "image")
        batches = [{name: sample[name] for name in keep if name in sample} for sample in samples]
        means = in_batches(batches, batch_size, self._means)
        return form.result(
            [
                {int(i): mean[place].astype(np.float32) for place, i in self._regions(sample)}
                for sample, mean in zip(samples, means, strict=True)
            ]
        )

    def _means(self, batch: Batch) -> np.ndarray:
        return self.system.encode_means(pad_batch(batch, self.system.stride, self.system.smallest))

    def _samples(self, labels: Any, instances: Any) -> tuple[list[Batch], Any]:
        """``label`` and ``inst`` as the system takes them, with ``ids``, the numbers behind ``inst``."""
        config = self.config
        if config.label_nc:
            maps, form = as_maps(labels, "label map", config.label_nc)
            samples = [{"label": label[None]} for label in maps]
        else:
            units, form = as_units(labels, config.input_nc)
            samples = [{"label": unit} for unit in units]
        if config.no_instance:
            if instances is not None:
                raise UserError("this model was trained without instance maps: leave instances out")
            return samples, form
        if instances is None:
            raise UserError(
                "this model needs instance maps: pass instances (the label maps themselves mark borders between "
                "classes only)"
            )
        for index, (sample, given) in enumerate(
            zip(samples, match_length(as_maps(instances, "instance map")[0], len(samples), "maps"), strict=True)
        ):
            if given.shape != sample["label"].shape[1:]:
                raise UserError(
                    f"instance map {index} has shape {given.shape}, its label map {sample['label'].shape[1:]}"
                )
            sample["inst"], sample["ids"] = relabel(given, config.max_instances, f"instance map {index}")
        return samples, form

    def _regions(self, sample: Batch) -> list[tuple[int, int]]:
        """(row in tables of the system, number that the user knows) of every region that has a style."""
        if self.config.label_feat:
            return [(int(i), int(i)) for i in np.unique(sample["label"])]
        return list(enumerate(sample["ids"].tolist()))

    def _painted(self, sample: Batch, given: Styles, seed: list[int]) -> np.ndarray:
        """The style map (feat_num, H, W) of a sample, with random styles where none is ``given``."""
        label = sample["label"][0]
        regions = label if self.config.label_feat else sample["inst"][0]
        rows = {number: row for row, number in self._regions(sample)}
        unknown = [number for number in given if int(number) not in rows]
        if unknown:
            raise UserError(f"styles name instance {unknown[0]}, which is not in the map")
        classes, _ = region_labels(regions, label, int(regions.max()) + 1)
        if self.clusters is not None:
            table = self.clusters.draw(classes, seed)
        elif all(number in given for number in rows):
            table = np.zeros((len(classes), self.config.feat_num), np.float32)
        else:
            raise UserError(
                f"there are no clusters to draw styles from ({cluster_file(self.config, self.folder)}): make them with "
                "precompute_feature_maps.py --only_clusters True, or pass a style for every instance"
            )
        for number, style in given.items():
            row = rows[int(number)]
            table[row] = self._style(style, int(classes[row]))
        return paint_regions(table, regions)

    def _style(self, style: Any, label: int) -> np.ndarray:
        if isinstance(style, (int, np.integer)) and not isinstance(style, bool):
            known = self.styles(label)
            if not 0 <= style < len(known):
                raise UserError(f"class {label} has {len(known)} clusters: there is no style {style}")
            return known[style]
        values = np.asarray(style, np.float32)
        # written so that NaN is out of range, too
        if values.shape != (self.config.feat_num,) or not np.abs(values).max() <= 1.001:
            raise UserError(f"a style is a cluster or {self.config.feat_num} numbers in [-1, 1], not {style}")
        return values
