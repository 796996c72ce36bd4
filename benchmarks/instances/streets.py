"""Held-out streets with cars that are large enough to have a style, and what a run draws of them."""

__all__ = ["CAR", "Street", "Views", "read_streets", "view"]

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from src.dataset.paired import PAIRED
from src.imaging.images import unit_to_image
from src.imaging.regions import region_labels
from src.options.config import Config
from src.systems.pix2pixhd.calls import PairedModel
from src.systems.registry import find_system

#: Cityscapes' number of cars
CAR = 26
# clusters are made of instances that cover more than this part of their image
_LARGE = 1 / 64


@dataclass(frozen=True)
class Street:
    """A scene at the size of the networks.

    Attributes:
        label, inst: (H, W) int32; instances are numbered from 0.
        photo: (H, W, 3) uint8.
        cars: numbers of all cars.
        large: those that cover more than 1/64 of the image.
    """

    label: np.ndarray
    inst: np.ndarray
    photo: np.ndarray
    cars: tuple[int, ...]
    large: tuple[int, ...]

    @property
    def large_area(self) -> int:
        """Pixels of the large cars."""
        return int(np.isin(self.inst, self.large).sum())

    def colours(self, image: np.ndarray) -> np.ndarray:
        """Mean colours of the large cars in an ``image`` (H, W, 3) of this street: (cars, 3)."""
        return np.stack([image[self.inst == car].mean(0) for car in self.large])


@dataclass(frozen=True)
class Views:
    """Images (H, W, 3) uint8 of S streets.

    Attributes:
        styles: S lists of K: all cars in each of the K styles that cars have, everything else in one random style.
        encoded: S, in the styles of the photos.
        sampled: D lists of S, in random styles.
        plain: S, by a network without styles.
    """

    styles: list[list[np.ndarray]]
    encoded: list[np.ndarray]
    sampled: list[list[np.ndarray]]
    plain: list[np.ndarray]


def read_streets(config: Config, phase: str) -> Iterator[Street]:
    """The streets of a phase below ``data_root`` that have large cars, at the size that ``config`` trains at."""
    request = replace(find_system(config.model).load().request(config, training=False), needs_image=True)
    # keep a reference, because the batches end when it is garbage collected
    epochs = PAIRED.open(request, config, phase, training=False).epochs(1)
    _, batches = next(epochs)
    for batch in batches:
        label, inst = batch["label"][0, 0], batch["inst"][0, 0]
        classes, pixels = region_labels(inst, label, int(inst.max()) + 1)
        cars = np.flatnonzero((classes == CAR) & (pixels > 0))
        large = cars[pixels[cars] > _LARGE * inst.size]
        if len(large):
            yield Street(label, inst, unit_to_image(batch["image"][0]), tuple(cars.tolist()), tuple(large.tolist()))


def view(model: PairedModel, plain: PairedModel, streets: list[Street], draws: int) -> Views:
    """Draw ``streets``, as callers from Python do, with a run that has styles and one that has none."""
    labels, insts = [street.label for street in streets], [street.inst for street in streets]

    def draw(styles: list[dict] | None, seed: int = 0) -> list[np.ndarray]:
        return model.translate(labels, insts, styles, seed=seed, output="numpy")

    photos = [street.photo for street in streets]
    by_style = [draw([dict.fromkeys(s.cars, number) for s in streets]) for number in range(len(model.styles(CAR)))]
    return Views(
        [list(images) for images in zip(*by_style, strict=True)],
        draw(model.encode(photos, labels, insts)),
        [draw(None, seed) for seed in range(1, draws + 1)],
        plain.translate(labels, insts, output="numpy"),
    )
