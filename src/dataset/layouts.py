"""Layouts of data sets of conditions and images: the places of their files, and reading one pair."""

__all__ = ["LAYOUTS", "Layout"]

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ..imaging.images import IMAGE_EXTENSIONS, picture_info, read_image, read_instances, read_labels
from ..imaging.palette import CITYSCAPES, colour_labels
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.text import counted
from .folders import Row, list_images, names_of, pair_folders
from .id_maps import check_colours, check_labels, edges, ids_of_colours
from .idx import read_idx

_SHOWN = 5
_CITYSCAPES_SUFFIXES = {
    "label": ("_gtFine_color",),
    "photo": ("_leftImg8bit",),
    "boundary": ("_gtFine_boundary", "_gtFine_instanceIds"),
}


class Layout(ABC):
    """One way to keep a data set: its rows, and the full-size uint8 arrays of a row.

    Attributes:
        directions: option ``mapping`` to (name of the condition, name of the image) among what ``read`` returns.
        planes: channels of a condition that is a class number instead of an image, else 0.
    """

    directions: dict[str, tuple[str, str]]
    planes = 0

    def __init__(self, options: Config, phase: str):
        self.options, self.root, self.phase = options, Path(options.data_root), phase
        if not self.root.is_dir():
            raise UserError(f"data_root {self.root} does not exist: pass --data_root with the data set's folder")
        self.sides = self.sides_of(options)

    @classmethod
    def sides_of(cls, options: Config) -> tuple[str, str]:
        """Names of the condition and of the image.

        Raises:
            UserError: a ``mapping`` that this data set does not have.
        """
        if options.mapping not in cls.directions:
            raise UserError(
                f"mapping {options.mapping} is not one of {', '.join(cls.directions)} of data set {options.dataset}"
            )
        return cls.directions[options.mapping]

    @classmethod
    def classes(cls, options: Config) -> int:
        """Number of classes of label maps; 0 if the data set has none."""
        return cls.planes

    @classmethod
    def coded(cls, ids: np.ndarray, options: Config) -> np.ndarray:
        """The stored form of a label map (H, W) of class numbers: its colours (H, W, 3), or the map with planes."""
        return ids if cls.planes else colour_labels(ids, cls.classes(options))

    def has(self, name: str) -> bool:
        """Whether the data set has a folder for ``name``."""
        return True

    @abstractmethod
    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        """All samples, sorted by name; ``needed`` are the names that :meth:`read` will be called with."""

    @abstractmethod
    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The arrays that ``needed`` names, (H, W) or (H, W, 3) uint8, all of one size."""

    def size_on_disk(self, row: Row) -> tuple[int, int]:
        """Width and height of a row's files."""
        info = picture_info(next(iter(row.files.values())))
        return info.width, info.height

    def label_ids(self, row: Row) -> np.ndarray | None:
        """All class numbers of a row's label map, in any shape, also those that :meth:`read` refuses.

        None where the data set keeps no label maps.
        """
        return None


class Cityscapes(Layout):
    """``leftImg8bit/PHASE/CITY/*_leftImg8bit.png`` and ``gtFine/PHASE/CITY/*_gtFine_color.png``.

    Boundaries come from ``*_gtFine_boundary.png``, or are made from ``*_gtFine_instanceIds.png``. Phase ``test`` reads
    ``val``, because the labels of the test set are not public.
    """

    directions = {
        "label2photo": ("label", "photo"),
        "photo2label": ("photo", "label"),
        "bmap2label": ("boundary", "label"),
    }

    def _folder(self, name: str) -> Path:
        phase = "val" if self.phase == "test" else self.phase
        return self.root / ("leftImg8bit" if name == "photo" else "gtFine") / phase

    def has(self, name: str) -> bool:
        return self._folder(name).is_dir()

    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        files: dict[str, dict[str, Path]] = {}
        for name in needed:
            suffixes = _CITYSCAPES_SUFFIXES[name]
            files[name] = _with_suffixes(self._folder(name), suffixes)
        every = sorted(set().union(*files.values()))
        for name, found in files.items():
            missing = [stem for stem in every if stem not in found]
            if missing:
                raise UserError(
                    f"no {name} for {len(missing)} of {counted(len(every), 'sample')} of {self.root} ({self.phase}) "
                    f"({', '.join(missing[:_SHOWN])}): add the files, or remove their partners"
                )
        return [Row(stem, {name: files[name][stem] for name in needed}) for stem in every]

    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        arrays = {}
        for name in needed:
            path = row.files[name]
            if name == "boundary" and path.stem.endswith("_instanceIds"):
                arrays[name] = edges(read_instances(path))
            elif name == "boundary":
                arrays[name] = read_image(path, 1)[:, :, 0]
            else:
                arrays[name] = read_image(path, 3)
            if name == "label":
                check_colours(arrays[name], str(path))
        return arrays

    @classmethod
    def classes(cls, options: Config) -> int:
        return len(CITYSCAPES)

    def label_ids(self, row: Row) -> np.ndarray:
        return ids_of_colours(read_image(row.files["label"], 3))


class Maps(Layout):
    """The ``maps`` data set of pix2pix: ``PHASE/*.jpg``, photo on the left and map on the right of one image."""

    directions = {"photo2map": ("photo", "map"), "map2photo": ("map", "photo")}

    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        folder = self.root / self.phase
        if self.phase == "test" and not folder.is_dir():
            folder = self.root / "val"
        files = list_images(folder)
        if not files:
            raise UserError(f"folder {folder} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
        return [Row(name, {"both": path}) for name, path in zip(names_of(files, folder), files, strict=True)]

    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        both = read_image(row.files["both"], 3)
        width = both.shape[1]
        if width % 2:
            raise UserError(
                f"{row.files['both']} is {counted(width, 'pixel')} wide, so it holds no two images side by side"
            )
        halves = {"photo": both[:, : width // 2], "map": both[:, width // 2 :]}
        return {name: halves[name] for name in needed}


class Mnist(Layout):
    """MNIST's idx files, plain or ``.gz``; ``train`` reads ``train-*``, every other phase ``t10k-*``.

    The condition is the class, as ten planes of which one is white.
    """

    directions = {"label2digit": ("label", "digit")}
    planes = 10

    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        prefix = "train" if self.phase == "train" else "t10k"
        self.images = self._find(f"{prefix}-images-idx3-ubyte")
        self.labels = self._find(f"{prefix}-labels-idx1-ubyte")
        digits, classes = read_idx(self.images), read_idx(self.labels)
        if digits.ndim != 3 or classes.ndim != 1 or len(digits) != len(classes):
            raise UserError(
                f"{self.images} {digits.shape} and {self.labels} {classes.shape} are not images and their classes"
            )
        if classes.size and classes.max() >= self.planes:
            raise UserError(f"class {classes.max()} in {self.labels} is not one of the ten digits")
        files = {"label": self.labels, "digit": self.images}
        return [Row(f"{index:05d}", files) for index in range(len(digits))]

    def _find(self, name: str) -> Path:
        for path in (self.root / name, self.root / f"{name}.gz", self.root / name.replace("-idx", ".idx")):
            if path.is_file():
                return path
        raise UserError(f"{self.root} holds no {name} or {name}.gz: put MNIST's idx files there")

    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        index = int(row.stem)
        digit = read_idx(self.images)[index]
        return {"label": np.full_like(digit, read_idx(self.labels)[index]), "digit": digit}

    def size_on_disk(self, row: Row) -> tuple[int, int]:
        _, height, width = read_idx(self.images).shape
        return width, height

    def label_ids(self, row: Row) -> np.ndarray:
        return read_idx(self.labels)[int(row.stem), None]


class Pairs(Layout):
    """The folders of pix2pixHD: ``PHASE_label`` (ids, coloured by the table of ``label_nc``) and ``PHASE_img``.

    With ``label_nc 0``: images ``PHASE_A`` and ``PHASE_B``. Boundaries come from ``PHASE_inst``.
    """

    directions = {
        "label2photo": ("label", "photo"),
        "photo2label": ("photo", "label"),
        "bmap2label": ("boundary", "label"),
    }

    def _folder(self, name: str) -> Path:
        ids = self.options.label_nc > 0
        names = {"label": "label" if ids else "A", "photo": "img" if ids else "B", "boundary": "inst"}
        return self.root / f"{self.phase}_{names[name]}"

    def has(self, name: str) -> bool:
        return self._folder(name).is_dir()

    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        folders = {name: self._folder(name) for name in needed}
        for name, folder in folders.items():
            if not folder.is_dir():
                raise UserError(f"folder {folder} does not exist: it should hold the {name} of every sample")
        return pair_folders(folders)

    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        arrays = {}
        for name in needed:
            path = row.files[name]
            if name == "boundary":
                arrays[name] = edges(read_instances(path))
            elif name == "label" and self.options.label_nc:
                ids = read_labels(path)
                check_labels(ids, self.options.label_nc, str(path))
                arrays[name] = self.coded(ids, self.options)
            else:
                arrays[name] = read_image(path, 3)
        return arrays

    @classmethod
    def classes(cls, options: Config) -> int:
        return options.label_nc

    def label_ids(self, row: Row) -> np.ndarray | None:
        return read_labels(row.files["label"]) if self.options.label_nc else None


#: option ``dataset`` to its layout
LAYOUTS: dict[str, type[Layout]] = {"cityscapes": Cityscapes, "maps": Maps, "mnist": Mnist, "pairs": Pairs}


def _with_suffixes(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below ``folder`` whose name ends in one of ``suffixes``, by the name before it; earlier ones win."""
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist: check --data_root and --phase")
    found: dict[str, Path] = {}
    listed = list_images(folder)
    for suffix in suffixes:
        for path in listed:
            if path.stem.endswith(suffix):
                found.setdefault(path.stem.removesuffix(suffix), path)
    if not found:
        raise UserError(f"{folder} holds no images named *{suffixes[0]}.png")
    return found
