"""Where data sets of conditions and pictures keep their files, and how one pair of them is read."""

__all__ = ["LAYOUTS", "Layout", "edges"]

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from src.dataset.folders import Row, list_images, pair_folders, stem_of
from src.dataset.idx import read_idx
from src.utils.errors import UserError
from src.utils.images import read_image, read_instances, read_labels
from src.utils.palette import CITYSCAPES, colour_labels

_SHOWN = 5
_CITYSCAPES_SUFFIXES = {
    "label": ("_gtFine_color",),
    "photo": ("_leftImg8bit",),
    "boundary": ("_gtFine_boundary", "_gtFine_instanceIds"),
}


def edges(ids: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 255 where an id differs from its neighbour above, below, left or right, else 0."""
    edge = np.zeros(ids.shape, bool)
    down, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge.astype(np.uint8) * 255


class Layout(ABC):
    """One way to keep a data set: its rows, and the full-size uint8 arrays of a row.

    Attributes: directions: option ``direction`` to (name of the condition, name of the picture) among what
        ``read`` returns. planes: channels of a condition that is a class number instead of a picture, else 0.
    """

    directions: dict[str, tuple[str, str]]
    planes = 0

    def __init__(self, config, phase: str):
        self.config, self.root, self.phase = config, Path(config.data_root), phase
        if not self.root.is_dir():
            raise UserError(f"data_root {self.root} does not exist: pass --data_root with the data set's folder")
        if config.direction not in self.directions:
            raise UserError(
                f"direction {config.direction} is not one of {', '.join(self.directions)} of data set {config.dataset}"
            )
        self.sides = self.directions[config.direction]

    def has(self, name: str) -> bool:
        """Whether the data set has a folder for what ``name`` names."""
        return True

    @abstractmethod
    def rows(self, needed: tuple[str, ...]) -> list[Row]:
        """All samples, sorted by name; ``needed`` names what :meth:`read` will be asked for."""

    @abstractmethod
    def read(self, row: Row, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
        """What ``needed`` names, (H, W) or (H, W, 3) uint8, all of one size."""


class Cityscapes(Layout):
    """``leftImg8bit/PHASE/CITY/*_leftImg8bit.png`` and ``gtFine/PHASE/CITY/*_gtFine_color.png``.

    Boundaries come from ``*_gtFine_boundary.png``, or are made from ``*_gtFine_instanceIds.png``. Phase
    ``test`` reads ``val``, because the labels of the test set are not public.
    """

    directions = {
        "label2photo": ("label", "photo"),
        "photo2label": ("photo", "label"),
        "bmap2label": ("boundary", "label"),
    }

    def _folder(self, name: str) -> Path:
        phase = "val" if self.phase == "test" else self.phase
        return self.root / ("leftImg8bit" if name == "photo" else "gtFine") / phase

    def has(self, name):
        return self._folder(name).is_dir()

    def rows(self, needed):
        files: dict[str, dict[str, Path]] = {}
        for name in needed:
            suffixes = _CITYSCAPES_SUFFIXES[name]
            files[name] = _with_suffixes(self._folder(name), suffixes)
        every = sorted(set().union(*files.values()))
        for name, found in files.items():
            missing = [stem for stem in every if stem not in found]
            if missing:
                raise UserError(
                    f"{len(missing)} of {len(every)} samples of {self.root} ({self.phase}) have no {name} "
                    f"({', '.join(missing[:_SHOWN])}): add the files, or remove their partners"
                )
        return [Row(stem, {name: files[name][stem] for name in needed}) for stem in every]

    def read(self, row, needed):
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
                _check_colours(arrays[name], path)
        return arrays


class Maps(Layout):
    """The ``maps`` data set of pix2pix: ``PHASE/*.jpg``, photo on the left and map on the right of one
    picture."""

    directions = {"photo2map": ("photo", "map"), "map2photo": ("map", "photo")}

    def rows(self, needed):
        folder = self.root / self.phase
        if self.phase == "test" and not folder.is_dir():
            folder = self.root / "val"
        files = list_images(folder)
        if not files:
            raise UserError(f"folder {folder} holds no pictures")
        return [Row(stem_of(path), {"both": path}) for path in files]

    def read(self, row, needed):
        both = read_image(row.files["both"], 3)
        width = both.shape[1]
        if width % 2:
            raise UserError(f"{row.files['both']} is {width} pixels wide, so it holds no two pictures side by side")
        halves = {"photo": both[:, : width // 2], "map": both[:, width // 2 :]}
        return {name: halves[name] for name in needed}


class Mnist(Layout):
    """MNIST's idx files, plain or ``.gz``; ``train`` reads ``train-*``, every other phase ``t10k-*``.

    The condition is the class, as ten planes of which one is white.
    """

    directions = {"label2digit": ("label", "digit")}
    planes = 10

    def rows(self, needed):
        prefix = "train" if self.phase == "train" else "t10k"
        self.images = self._find(f"{prefix}-images-idx3-ubyte")
        self.labels = self._find(f"{prefix}-labels-idx1-ubyte")
        pictures, classes = read_idx(self.images), read_idx(self.labels)
        if pictures.ndim != 3 or classes.ndim != 1 or len(pictures) != len(classes):
            raise UserError(
                f"{self.images} {pictures.shape} and {self.labels} {classes.shape} are not pictures and their classes"
            )
        if classes.size and classes.max() >= self.planes:
            raise UserError(f"class {classes.max()} in {self.labels} is not one of the ten digits")
        files = {"label": self.labels, "digit": self.images}
        return [Row(f"{index:05d}", files) for index in range(len(pictures))]

    def _find(self, name: str) -> Path:
        for path in (self.root / name, self.root / f"{name}.gz", self.root / name.replace("-idx", ".idx")):
            if path.is_file():
                return path
        raise UserError(f"{self.root} holds no {name} or {name}.gz: put MNIST's idx files there")

    def read(self, row, needed):
        index = int(row.stem)
        digit = read_idx(self.images)[index]
        return {"label": np.full_like(digit, read_idx(self.labels)[index]), "digit": digit}


class Pairs(Layout):
    """The folders of pix2pixHD: ``PHASE_label`` (ids, coloured by the table of ``label_nc``) and
    ``PHASE_img``.

    With ``label_nc 0``: pictures ``PHASE_A`` and ``PHASE_B``. Boundaries come from ``PHASE_inst``.
    """

    directions = {
        "label2photo": ("label", "photo"),
        "photo2label": ("photo", "label"),
        "bmap2label": ("boundary", "label"),
    }

    def _folder(self, name: str) -> Path:
        ids = self.config.label_nc > 0
        names = {"label": "label" if ids else "A", "photo": "img" if ids else "B", "boundary": "inst"}
        return self.root / f"{self.phase}_{names[name]}"

    def has(self, name):
        return self._folder(name).is_dir()

    def rows(self, needed):
        folders = {name: self._folder(name) for name in needed}
        for name, folder in folders.items():
            if not folder.is_dir():
                raise UserError(f"folder {folder} does not exist: it should hold the {name} of every sample")
        return pair_folders(folders)

    def read(self, row, needed):
        arrays = {}
        for name in needed:
            path = row.files[name]
            if name == "boundary":
                arrays[name] = edges(read_instances(path))
            elif name == "label" and self.config.label_nc:
                ids = read_labels(path)
                if ids.max() >= self.config.label_nc:
                    raise UserError(
                        f"label {ids.max()} in {path} is not below label_nc {self.config.label_nc}: "
                        "pass a larger --label_nc or remap it"
                    )
                arrays[name] = colour_labels(ids, self.config.label_nc)
            else:
                arrays[name] = read_image(path, 3)
        return arrays


#: option ``dataset`` to its layout
LAYOUTS: dict[str, type[Layout]] = {"cityscapes": Cityscapes, "maps": Maps, "mnist": Mnist, "pairs": Pairs}


def _with_suffixes(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files below ``folder`` whose name ends in one of ``suffixes``, by the name before it; earlier ones
    win."""
    if not folder.is_dir():
        raise UserError(f"folder {folder} does not exist: check --data_root and --phase")
    found: dict[str, Path] = {}
    listed = list_images(folder)
    for suffix in suffixes:
        for path in listed:
            if path.stem.endswith(suffix):
                found.setdefault(path.stem.removesuffix(suffix), path)
    if not found:
        raise UserError(f"{folder} holds no pictures named *{suffixes[0]}.png")
    return found


_KNOWN_COLOURS = np.unique([r << 16 | g << 8 | b for r, g, b in (row.colour for row in CITYSCAPES)])


def _check_colours(label: np.ndarray, path: Path) -> None:
    """Raise ``UserError`` if a colour-coded label map has colours that no Cityscapes class has."""
    packed = label.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours, counts = np.unique(packed, return_counts=True)
    unknown = ~np.isin(colours, _KNOWN_COLOURS)
    if unknown.any():
        worst = np.argsort(-counts * unknown)[: min(_SHOWN, int(unknown.sum()))]
        shown = ", ".join(
            f"({c >> 16}, {c >> 8 & 255}, {c & 255}) in {n} pixels"
            for c, n in zip(colours[worst].tolist(), counts[worst].tolist(), strict=True)
        )
        raise UserError(
            f"{path} has {int(unknown.sum())} colours that are no Cityscapes class: {shown}. Was it resized with "
            "blending, or saved as JPEG? Use the *_gtFine_color.png files of the data set"
        )
