"""Colours of label maps: the Cityscapes table for its 35 ids, a bit-reversal palette for other label sets."""

__all__ = [
    "CITYSCAPES",
    "IGNORED",
    "CityscapesClass",
    "bit_palette",
    "colour_labels",
    "colour_table",
    "to_train_ids",
]

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..utils.errors import UserError

IGNORED = 255
"""The train id of every class that the Cityscapes benchmark does not score."""


class CityscapesClass(NamedTuple):
    """One row of the Cityscapes label table; ``train_id`` is :data:`IGNORED` where nothing is scored."""

    name: str
    train_id: int
    category: str
    colour: tuple[int, int, int]


CITYSCAPES: tuple[CityscapesClass, ...] = (
    CityscapesClass("unlabeled", IGNORED, "void", (0, 0, 0)),
    CityscapesClass("ego vehicle", IGNORED, "void", (0, 0, 0)),
    CityscapesClass("rectification border", IGNORED, "void", (0, 0, 0)),
    CityscapesClass("out of roi", IGNORED, "void", (0, 0, 0)),
    CityscapesClass("static", IGNORED, "void", (0, 0, 0)),
    CityscapesClass("dynamic", IGNORED, "void", (111, 74, 0)),
    CityscapesClass("ground", IGNORED, "void", (81, 0, 81)),
    CityscapesClass("road", 0, "flat", (128, 64, 128)),
    CityscapesClass("sidewalk", 1, "flat", (244, 35, 232)),
    CityscapesClass("parking", IGNORED, "flat", (250, 170, 160)),
    CityscapesClass("rail track", IGNORED, "flat", (230, 150, 140)),
    CityscapesClass("building", 2, "construction", (70, 70, 70)),
    CityscapesClass("wall", 3, "construction", (102, 102, 156)),
    CityscapesClass("fence", 4, "construction", (190, 153, 153)),
    CityscapesClass("guard rail", IGNORED, "construction", (180, 165, 180)),
    CityscapesClass("bridge", IGNORED, "construction", (150, 100, 100)),
    CityscapesClass("tunnel", IGNORED, "construction", (150, 120, 90)),
    CityscapesClass("pole", 5, "object", (153, 153, 153)),
    CityscapesClass("polegroup", IGNORED, "object", (153, 153, 153)),
    CityscapesClass("traffic light", 6, "object", (250, 170, 30)),
    CityscapesClass("traffic sign", 7, "object", (220, 220, 0)),
    CityscapesClass("vegetation", 8, "nature", (107, 142, 35)),
    CityscapesClass("terrain", 9, "nature", (152, 251, 152)),
    CityscapesClass("sky", 10, "sky", (70, 130, 180)),
    CityscapesClass("person", 11, "human", (220, 20, 60)),
    CityscapesClass("rider", 12, "human", (255, 0, 0)),
    CityscapesClass("car", 13, "vehicle", (0, 0, 142)),
    CityscapesClass("truck", 14, "vehicle", (0, 0, 70)),
    CityscapesClass("bus", 15, "vehicle", (0, 60, 100)),
    CityscapesClass("caravan", IGNORED, "vehicle", (0, 0, 90)),
    CityscapesClass("trailer", IGNORED, "vehicle", (0, 0, 110)),
    CityscapesClass("train", 16, "vehicle", (0, 80, 100)),
    CityscapesClass("motorcycle", 17, "vehicle", (0, 0, 230)),
    CityscapesClass("bicycle", 18, "vehicle", (119, 11, 32)),
    # Cityscapes gives license plates the id -1; pix2pixHD's 35 classes put them here.
    CityscapesClass("license plate", IGNORED, "vehicle", (0, 0, 142)),
)
"""The Cityscapes classes (Cordts et al., CVPR 2016); the position in the tuple is the id in label maps."""


def bit_palette(count: int) -> np.ndarray:
    """Return ``count`` colours, uint8 ``(count, 3)``, that differ strongly between neighbouring ids.

    The bits of an id are dealt in turn to red, green and blue, most significant bit of the channel first (the palette
    of PASCAL VOC, which pix2pixHD uses for every label set but its own). Id 0 is black.
    """
    ids = np.arange(count, dtype=np.int64)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


@lru_cache(maxsize=8)
def colour_table(label_nc: int) -> np.ndarray:
    """Return the read-only table, uint8 ``(label_nc, 3)``: Cityscapes for 35 classes, else bit reversal."""
    if label_nc < 1:
        raise UserError(f"label_nc {label_nc} has no colour table: colours belong to label maps (label_nc >= 1)")
    if label_nc == len(CITYSCAPES):
        table = np.array([row.colour for row in CITYSCAPES], np.uint8)
    else:
        table = bit_palette(label_nc)
    table.setflags(write=False)
    return table


def colour_labels(ids: np.ndarray, label_nc: int) -> np.ndarray:
    """Colour a label map.

    Args:
        ids: integer class ids, ``(H, W)``; ids outside ``0..label_nc-1`` become black, as void does.
        label_nc: number of classes, which selects the table.

    Returns:
        RGB image, uint8 ``(H, W, 3)``.

    Raises:
        UserError: ``ids`` is not a two-dimensional integer array, or ``label_nc`` is below 1.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise UserError(f"a label map is (H, W) of integers, not {ids.shape} of {ids.dtype}")
    table = np.concatenate([colour_table(label_nc), np.zeros((1, 3), np.uint8)])
    inside = (ids >= 0) & (ids < label_nc)
    return table[np.where(inside, ids.astype(np.intp), label_nc)]


def to_train_ids(ids: np.ndarray) -> np.ndarray:
    """Map Cityscapes ids (any integer array) to the 19 train ids, uint8; the rest is :data:`IGNORED`."""
    ids = np.asarray(ids)
    table = np.array([row.train_id for row in CITYSCAPES] + [IGNORED], np.uint8)
    inside = (ids >= 0) & (ids < len(CITYSCAPES))
    return table[np.where(inside, ids.astype(np.intp), len(CITYSCAPES))]
