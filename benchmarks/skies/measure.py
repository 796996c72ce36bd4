"""What a judge sees in images of a known street: how much sky is left, what became of the rest, and the style."""

__all__ = ["measure", "seen"]

from collections.abc import Callable
from typing import Any

import numpy as np
from mindspore import Tensor

from src.imaging.images import image_to_unit
from src.metrics.segmentation_scores import CLASSES, class_ious, confusion, semantic_scores
from src.metrics.style import StyleComparison, layout_kept

from .judge import see

_SKY, _VEGETATION = CLASSES.index("sky"), CLASSES.index("vegetation")


def seen(judge: Callable[[Tensor], Tensor], images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Shares of the pixels, by what they are in ``labels`` (N, H, W) and what the judge sees in ``images``.

    Returns:
        ``sky_kept`` and ``sky_to_vegetation``: of the pixels that are sky; ``vegetation_kept``: of those that are
        vegetation; ``miou`` and ``sky_iou``: over Cityscapes' train ids.
    """
    counts = confusion(labels, see(judge, images))
    of_sky, of_trees = (counts[k] / max(1, counts[k].sum()) for k in (_SKY, _VEGETATION))
    return {
        "sky_kept": float(of_sky[_SKY]),
        "sky_to_vegetation": float(of_sky[_VEGETATION]),
        "vegetation_kept": float(of_trees[_VEGETATION]),
        "miou": semantic_scores(counts)["class_iou"],
        "sky_iou": class_ious(counts)[_SKY],
    }


def measure(
    judge: Callable[[Tensor], Tensor], made: np.ndarray, source: np.ndarray, labels: np.ndarray, target: np.ndarray
) -> dict[str, Any]:
    """As :func:`seen` of translations ``made`` of ``source``, and what :mod:`src.metrics.style` says of them.

    ``style`` is the distance to the style of the images ``target``, 0 for the same; ``layout`` is the share of the
    edges of ``source`` that are in place, 0 to 1. Images are (N, H, W, 3) uint8.
    """
    sets = StyleComparison()
    for name, images in (("target", target), ("made", made)):
        for image in images:
            sets.add(name, image_to_unit(image))
    kept = [layout_kept(image_to_unit(a), image_to_unit(b)) for a, b in zip(source, made, strict=True)]
    return seen(judge, made, labels) | {"style": sets.distance("made", "target"), "layout": float(np.mean(kept))}
