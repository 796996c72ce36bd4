"""VGG19's published weights: torchvision's, and those of MindSpore's model zoo, which have no biases."""

__all__ = ["MEAN", "STD", "read_vgg19", "vgg19_arrays"]

from pathlib import Path

import numpy as np

from ..imaging.images import notice_once
from ..utils.weights import read_weights

#: what torchvision's networks subtract from red, green and blue from 0 to 1, and then divide by
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
# in front of a layer's number: in our own files, in torchvision's, in the zoo's; the numbers are the same
_PREFIXES = ("", "features.", "layers.")


def vgg19_arrays(arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], bool]:
    """Return a published VGG19's convolutions under our names, and whether their biases were missing.

    Missing biases are zeros in the result: the zoo's network was trained without them (``has_bias: False``). Names are
    those of :class:`src.models.vgg.VGG19`: ``0.weight``, ``0.bias``, ``2.weight``, ... Dense layers and an optimizer's
    state are left out. For another network the result holds the arrays with such names, perhaps none.
    """
    prefix = next((prefix for prefix in _PREFIXES if f"{prefix}0.weight" in arrays), None)
    if prefix is None:
        return {}, False
    found = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    found = {name: array for name, array in found.items() if name.split(".")[0].isdecimal()}
    bare = not any(name.endswith(".bias") for name in found)
    if bare:
        for name, array in list(found.items()):
            if name.endswith(".weight") and array.ndim == 4:
                found[f"{name.removesuffix('.weight')}.bias"] = np.zeros(array.shape[0], array.dtype)
    return found, bare


def read_vgg19(path: str | Path) -> dict[str, np.ndarray]:
    """Return the convolutions in a file of VGG19 weights, see :func:`vgg19_arrays`; empty for another network.

    A notice says once for each file that missing biases were replaced by zeros.

    Raises:
        UserError: the file cannot be read, see :func:`src.utils.weights.read_weights`.
    """
    arrays, bare = vgg19_arrays(read_weights(path))
    if bare:
        notice_once(
            f"biases of {path}", f"{path} holds VGG19 without biases, as the model zoo trained it: zeros are used"
        )
    return arrays
