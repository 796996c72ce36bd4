"""Networks that the MindSpore predecessor of this project saved, under the published names.

In a file only the names differ. The networks differ in their layers, which option ``layers`` selects: the predecessor
padded with zeros instead of reflections, and its transposed convolutions and pooling windows are shifted by one pixel.
"""

__all__ = ["check_norms", "is_predecessor", "predecessor_arrays"]

import re

import numpy as np

from ...utils.errors import UserError

_RENAMED = {"model_local_downsample.": "model1_1.", "model_local_upsample.": "model1_2."}


def is_predecessor(arrays: dict[str, np.ndarray]) -> bool:
    """Whether names are MindSpore's: NVIDIA's norms have no ``gamma``, and the predecessor's always have."""
    return any(name.endswith(".gamma") for name in arrays)


def predecessor_arrays(network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of ``network`` (G, D or E) in a file of the predecessor under NVIDIA's names.

    The names carry the cells of the training step (``loss_netG.netG.``), which are taken off; other networks and an
    optimizer's state in the same file are left out, and so are scale and offset of an instance norm, which the networks
    here do not have (see :func:`check_norms`). Those of a batch norm keep MindSpore's names.
    """
    own = _own_arrays(network, arrays)
    return {_published(name): array for name, array in own.items() if not _is_of_instance_norm(name, array)}


def check_norms(network: str, arrays: dict[str, np.ndarray], source: str) -> None:
    """Raise ``UserError`` where an instance norm has another scale than one, or another offset than zero."""
    for name, array in _own_arrays(network, arrays).items():
        if _is_of_instance_norm(name, array) and not np.all(array == name.endswith("gamma")):
            raise UserError(
                f"{source} has a trained instance norm ({name}), which the network here lacks: use a checkpoint from "
                "before the predecessor's --niter_fix_global epochs were over"
            )


def _own_arrays(network: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = re.compile(rf"(?:loss_net[DG]\.)?net{network}\.")
    own = {name[match.end() :]: array for name, array in arrays.items() if (match := start.match(name))}
    return own or arrays


def _is_of_instance_norm(name: str, array: np.ndarray) -> bool:
    return array.ndim == 4 and name.endswith((".gamma", ".beta"))


def _published(name: str) -> str:
    for theirs, published in _RENAMED.items():
        if name.startswith(theirs):
            return published + name.removeprefix(theirs)
    if match := re.match(r"(scale\d+_layer\d+)\.0\.features\.(.+)", name):
        return f"{match[1]}.{match[2]}"
    if match := re.match(r"(layer\d+)\.(\d+)\.(?:features\.(\d)\.)?(\w+)$", name):
        # a scale without feature maps: a group of convolution, norm and activation counts as one cell there
        cell = int(match[2])
        place = cell if cell < 2 else 2 + 3 * (cell - 2) + int(match[3] or 0)
        return f"{match[1]}.{place}.{match[4]}"
    return name
