"""Maps of ids from files and from callers: labels and their colours, instances numbered from 0, and borders."""

__all__ = ["HIGHEST_ID", "check_colours", "check_labels", "edges", "ids_of_colours", "instance_ids", "relabel"]

import numpy as np

from ..imaging.palette import CITYSCAPES
from ..utils.errors import UserError
from ..utils.text import counted

HIGHEST_ID = 65535
_SHOWN = 5


def _packed(colours: np.ndarray) -> np.ndarray:
    """Colours (..., 3), uint8, as one number each."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


# the colours of Cityscapes' classes in ascending order, and of the classes that share one the first id
_KNOWN_COLOURS, _FIRST_IDS = np.unique(
    _packed(np.array([row.colour for row in CITYSCAPES], np.uint8)), return_index=True
)


def ids_of_colours(colours: np.ndarray) -> np.ndarray:
    """Cityscapes ids of colours (..., 3), uint8: int64 (K,) for the K that are a class's, in their order."""
    packed = _packed(colours).ravel()
    places = np.minimum(np.searchsorted(_KNOWN_COLOURS, packed), len(_KNOWN_COLOURS) - 1)
    return _FIRST_IDS[places[_KNOWN_COLOURS[places] == packed]]


def check_colours(colours: np.ndarray, source: str) -> None:
    """Raise ``UserError`` naming ``source`` unless all colours (H, W, 3), uint8, are those of Cityscapes classes."""
    found, counts = np.unique(_packed(colours), return_counts=True)
    unknown = ~np.isin(found, _KNOWN_COLOURS)
    if unknown.any():
        worst = np.argsort(-counts * unknown)[: min(_SHOWN, int(unknown.sum()))]
        shown = ", ".join(
            f"({c >> 16}, {c >> 8 & 255}, {c & 255}) in {counted(n, 'pixel')}"
            for c, n in zip(found[worst].tolist(), counts[worst].tolist(), strict=True)
        )
        raise UserError(
            f"{source} has {counted(int(unknown.sum()), 'colour')} that no Cityscapes class has: {shown}. Was it "
            "resized with blending, or saved as JPEG? Use the *_gtFine_color.png files of the data set"
        )


def check_labels(labels: np.ndarray, label_nc: int, source: str) -> None:
    """Raise ``UserError`` naming ``source`` unless all labels (integers from 0) are below ``label_nc``."""
    highest = int(labels.max())
    if highest >= label_nc:
        remap = "remap it (255 often marks pixels without a label)" if highest == 255 else "remap it"
        raise UserError(
            f"label {highest} in {source} is not below label_nc {label_nc}: pass --label_nc {highest + 1} or {remap}"
        )


def edges(ids: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 255 where an id differs from its neighbour above, below, left or right, else 0."""
    edge = np.zeros(ids.shape, bool)
    down, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge.astype(np.uint8) * 255


def instance_ids(instances: np.ndarray, most: int, source: str) -> np.ndarray:
    """The distinct ids of an instance map, int64 in ascending order.

    Args:
        instances: integers (H, W) from 0 to :data:`HIGHEST_ID`.
        most: largest number of instances.
        source: name of the map, for messages.

    Raises:
        UserError: more than ``most`` instances.
    """
    # the pixels need not be sorted to know which of so few values are there
    present = np.zeros(HIGHEST_ID + 1, bool)
    present[instances] = True
    ids = np.flatnonzero(present)
    if len(ids) > most:
        enough = 1 << (len(ids) - 1).bit_length()
        raise UserError(
            f"{source} holds {counted(len(ids), 'instance')}, more than max_instances {most}: pass --max_instances "
            f"{enough} (max_instances={enough} from Python), or check that it is an instance map"
        )
    return ids


def relabel(instances: np.ndarray, most: int, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Number the instances of a map from 0, in ascending order of their ids.

    Args:
        instances, most, source: as for :func:`instance_ids`, which says what is raised.

    Returns:
        int32 (1, H, W), numbers from 0 to K-1, and the K ids behind them, int64.
    """
    ids = instance_ids(instances, most, source)
    table = np.zeros(HIGHEST_ID + 1, np.int32)
    table[ids] = np.arange(len(ids), dtype=np.int32)
    return table[instances][None], ids
