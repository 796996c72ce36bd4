"""Objects to add: outlines of the instances in the data set's own label maps."""

__all__ = ["harvest"]

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..imaging.regions import region_labels
from ..utils.errors import UserError
from .documents import Source

_MOST_DOCUMENTS = 40
_MOST_OF_A_CLASS = 8
_LEAST_SHARE = 1 / 400
_MOST_SHARE = 1 / 4


def harvest(source: Source, label_nc: int) -> list[dict[str, Any]]:
    """Up to eight objects a class, the largest first, from the first documents.

    Each is a dict: ``label``, ``x``, ``y``, ``width``, ``height`` in pixels where it stood, ``size``, (width, height)
    of its document, and ``mask``, base64 of its bits, row by row, the first pixel in the highest bit of a byte. Objects
    at the border are cut and left out, unless a class has no others.
    """
    if source.kind != "labels" or not label_nc:
        return []
    found: dict[int, list[tuple[bool, int, dict[str, Any]]]] = {}
    for index in range(min(len(source.names), _MOST_DOCUMENTS)):
        try:
            document = source.open(index)
        except UserError:
            continue  # opening the document reports the error
        for label, entry, whole, pixels in _objects(document.array("label"), document.array("inst")):
            found.setdefault(label, []).append((whole, pixels, entry))
    listed = []
    for label in sorted(found):
        best = sorted(found[label], key=lambda one: (not one[0], -one[1]))
        listed += [entry for _, _, entry in best[:_MOST_OF_A_CLASS]]
    return listed


def _objects(label: np.ndarray, inst: np.ndarray) -> Iterator[tuple[int, dict[str, Any], bool, int]]:
    height, width = label.shape
    for number in np.unique(inst[inst >= 1000]).tolist():
        rows, columns = np.nonzero(inst == number)
        if not _LEAST_SHARE <= len(rows) / label.size <= _MOST_SHARE:
            continue
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        whole = top > 0 and left > 0 and bottom < height and right < width
        mask = inst[top:bottom, left:right] == number
        kind = int(region_labels(mask, label[top:bottom, left:right], 2)[0][1])
        entry = {
            "label": kind,
            "x": int(left),
            "y": int(top),
            "width": int(right - left),
            "height": int(bottom - top),
            "size": [width, height],
            "mask": base64.b64encode(np.packbits(mask, axis=1).tobytes()).decode(),
        }
        yield kind, entry, bool(whole), len(rows)
