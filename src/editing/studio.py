"""The base of all studios: the contract between the server and a system, and where documents are found."""

__all__ = [
    "Studio", "fit_width", "maps", "number", "pictures", "scaled", "seed_of",
]  # fmt: skip

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.folders import list_images
from ..dataset.transforms import resize_photo
from ..imaging.palette import CITYSCAPES, colour_table
from ..inference.model import Model
from ..options.config import Config
from ..utils.errors import UserError
from .documents import Document, Source, label_source, picture_source

_HIGHEST_SEED = 2**31 - 1


class Studio:
    """One model with documents to edit.

    ``settings`` are the values of the page's controls. They are not trusted: every value is checked where it is used.
    """

    #: images whose style a drawing may take, for studios with a control of type ``look``
    styles: Source

    def __init__(self, model: Model, source: Source):
        self.model, self.source = model, source

    @property
    def label_nc(self) -> int:
        """Number of classes of label maps; 0 where images are edited."""
        return 0

    @property
    def uses_photos(self) -> bool:
        """Whether drawing uses the real image of a label map."""
        return False

    def about(self) -> dict[str, Any]:
        """The description for the page: classes, styles, controls."""
        return {
            "name": self.model.folder.resolve().name,
            "system": self.model.system.name,
            "checkpoint": self.model.tag,
            "device": self.model.device.target,
            "kind": self.source.kind,
            "documents": self.source.names,
            "where": self.source.where,
            "classes": classes_of(self.label_nc, self.source.things),
            "styles": None,
            "controls": self.controls(),
        }

    def controls(self) -> list[dict[str, Any]]:
        """Controls of the page beside the drawing tools."""
        return []

    def open(self, index: int) -> tuple[Document, dict[int, list[float]]]:
        """Document ``index`` and the styles it starts with."""
        return self.source.open(index), {}

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        """The image for a document: uint8 (H, W, 3)."""
        raise NotImplementedError


def classes_of(count: int, things: frozenset[int]) -> list[dict[str, Any]]:
    if not count:
        return []
    known = count == len(CITYSCAPES)
    return [
        {
            "id": i,
            "name": CITYSCAPES[i].name if known else f"class {i}",
            "group": CITYSCAPES[i].category if known else "classes",
            "colour": [int(c) for c in colour],
            "thing": i in things,
        }
        for i, colour in enumerate(colour_table(count))
    ]


def scaled(config: Config, size: Callable[[int, int], tuple[int, int]]) -> Callable:
    """The size that the data set would use, or ``--view_width`` with the matching height."""
    width = config.view_width
    return (lambda w, h: (width, max(1, round(width * h / w)))) if width else size


def number(settings: dict[str, Any], key: str, default: float, low: float, high: float) -> float:
    """A number from the page, or the default; ``UserError`` outside ``low`` to ``high``."""
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{key} {value!r} is not a number from {low} to {high}")
    return value


def seed_of(settings: dict[str, Any], key: str = "seed") -> int:
    """A seed from the page, or 0."""
    return int(number(settings, key, 0, 0, _HIGHEST_SEED))


def maps(config: Config, label_nc: int, size: Callable, allow_8bit: bool = False) -> Source:
    """Label maps of the data set, or of the folders that the options name."""
    given = {"labels": config.labels, "instances": config.instances, "photos": config.photos}
    return label_source(Path(config.data_root), config.phase, label_nc, size, allow_8bit=allow_8bit, **given)


def pictures(folders: list[Path], config: Config, fitted: Callable) -> Source:
    """Images of the first of ``folders`` that holds any, or of ``--pictures``."""
    if config.pictures:
        folders = [Path(config.pictures)]
    for folder in folders:
        if folder.is_dir() and (files := list_images(folder)):
            return picture_source(files, fitted, str(folder))
    shown = ", ".join(map(str, folders))
    raise UserError(f"there are no images to start from in {shown}: pass --pictures FOLDER or --data_root FOLDER")


def fit_width(config: Config, width: int) -> Callable[[np.ndarray], np.ndarray]:
    """Scale images to ``--view_width``, or to ``width`` where they are wider; 0 leaves them."""
    wanted = config.view_width

    def fitted(image: np.ndarray) -> np.ndarray:
        target = wanted or (min(width, image.shape[1]) if width else image.shape[1])
        return resize_photo(image, (target, max(1, round(target * image.shape[0] / image.shape[1]))))

    return fitted
