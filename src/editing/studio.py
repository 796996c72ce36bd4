"""What all studios share: the contract between the server and a kind of system, and where documents are found."""

__all__ = [
    "Studio", "as_colour", "fit_width", "maps", "number", "phase_of", "pictures", "scaled", "seed_of",
]  # fmt: skip

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from src.dataset.folders import list_images
from src.dataset.transforms import resize_photo
from src.editing.documents import Document, Source, label_source, picture_source
from src.inference.model import Model
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.palette import CITYSCAPES, colour_table

_HIGHEST_SEED = 2**31 - 1


class Studio:
    """One model with documents to edit.

    ``settings`` are what the page's controls say, never trusted: every value is converted and checked where it is used.
    """

    def __init__(self, model: Model, source: Source):
        self.model, self.source = model, source

    @property
    def label_nc(self) -> int:
        """Classes of label maps; 0 where pictures are edited."""
        return 0

    @property
    def uses_photos(self) -> bool:
        """Whether drawing looks at the real picture of a label map."""
        return False

    def about(self) -> dict[str, Any]:
        """What the page has to know: classes, styles, controls."""
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
        """The picture for a document: uint8 (H, W, 3)."""
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


def scaled(options: dict[str, str], size: Callable[[int, int], tuple[int, int]]) -> Callable:
    """The size that the data set would have, or ``--width`` with the height that belongs to it."""
    width = int(options.get("width") or 0)
    if not width:
        return size
    return lambda w, h: (width, max(1, round(width * h / w)))


def number(settings: dict[str, Any], key: str, default: float, low: float, high: float) -> float:
    """A number that the page sent, or the default; ``UserError`` outside ``low`` to ``high``."""
    value = settings.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{key} {value!r} is not a number from {low} to {high}")
    return value


def seed_of(settings: dict[str, Any], key: str = "seed") -> int:
    """A seed that the page sent, or 0."""
    return int(number(settings, key, 0, 0, _HIGHEST_SEED))


def phase_of(options: dict[str, str]) -> str:
    """The phase whose documents are edited."""
    return options.get("phase") or "test"


def maps(config: Config, options: dict[str, str], label_nc: int, size: Callable) -> Source:
    """Label maps of the data set, or of the folders that ``options`` name."""
    given = {key: options.get(key, "") for key in ("labels", "instances", "photos")}
    allow = bool(getattr(config, "allow_8bit_instances", False))
    return label_source(Path(config.data_root), phase_of(options), label_nc, size, allow_8bit=allow, **given)


def pictures(folders: list[Path], options: dict[str, str], fitted: Callable) -> Source:
    """Pictures of the first of ``folders`` that holds any, or of ``--pictures``."""
    if options.get("pictures"):
        folders = [Path(options["pictures"])]
    for folder in folders:
        if folder.is_dir() and (files := list_images(folder)):
            return picture_source(files, fitted, str(folder))
    shown = ", ".join(map(str, folders))
    raise UserError(f"there are no pictures to start from in {shown}: pass --pictures FOLDER or --data_root FOLDER")


def fit_width(options: dict[str, str], width: int) -> Callable[[np.ndarray], np.ndarray]:
    """Scale pictures to ``--width``, or to ``width`` where they are wider; 0 leaves them."""
    wanted = int(options.get("width") or 0)

    def fitted(image: np.ndarray) -> np.ndarray:
        target = wanted or (min(width, image.shape[1]) if width else image.shape[1])
        return resize_photo(image, (target, max(1, round(target * image.shape[0] / image.shape[1]))))

    return fitted


def as_colour(picture: np.ndarray) -> np.ndarray:
    """A picture of one, three or four channels as (H, W, 3)."""
    return np.repeat(picture[:, :, None], 3, 2) if picture.ndim == 2 else picture[:, :, :3]
