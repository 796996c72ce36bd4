"""The documents of the editor: label maps with their instances, or images, from the folders that data sets use."""

__all__ = ["Document", "Source", "digit_source", "document_of", "instances_of", "label_source", "picture_source"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..dataset.folders import list_images, stem_of
from ..dataset.transforms import resize_ids, resize_photo
from ..imaging.images import picture_info, read_image, read_instances, read_labels
from ..imaging.palette import CITYSCAPES
from ..utils.errors import UserError

#: most pixels of a document, limited by the page, its undo history and the size of a request
MAX_PIXELS = 4096 * 2048
#: classes of Cityscapes that have instances
THINGS = frozenset(range(24, 34))

Size = tuple[int, int]


@dataclass
class Document:
    """One thing to edit.

    Attributes:
        name: name of its file.
        label: class numbers, uint16 (H, W), or None where images are edited.
        inst: instance numbers, uint16 (H, W); stuff has the number of its class.
        rgb: the image that is edited, uint8 (H, W, 3), or None.
        photo: the real image of a label map, uint8 (H, W, 3), or None.
    """

    name: str
    label: np.ndarray | None = None
    inst: np.ndarray | None = None
    rgb: np.ndarray | None = None
    photo: np.ndarray | None = None

    def array(self, key: Literal["label", "inst", "rgb"]) -> np.ndarray:
        """The array ``key``; ``UserError`` if this document lacks it."""
        array = {"label": self.label, "inst": self.inst, "rgb": self.rgb}[key]
        if array is None:
            raise UserError(f"{self.name}: it lacks its {key} map")
        return array

    @property
    def size(self) -> Size:
        """(width, height)."""
        array = self.array("rgb" if self.label is None else "label")
        return array.shape[1], array.shape[0]


@dataclass
class Source:
    """Named documents, read on request; ``read`` takes the position in ``names``."""

    kind: str
    names: list[str]
    read: Callable[[int], Document]
    where: str = ""
    things: frozenset[int] = field(default=frozenset())

    def open(self, index: int) -> Document:
        """Read document ``index``.

        Raises:
            UserError: there is no document of that number, or its files cannot be used.
        """
        if not 0 <= index < len(self.names):
            raise UserError(f"there is no image {index}: {self.where} holds {len(self.names)}")
        document = self.read(index)
        _check_size(document.name, document.size)
        return document


def _check_size(name: str, size: Size) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{name} has {width}x{height} pixels, the editor takes up to {MAX_PIXELS}: pass --view_width "
            f"{int((MAX_PIXELS * width / height) ** 0.5)} or less"
        )


def document_of(name: str, kind: str, arrays: Mapping[str, np.ndarray], label_nc: int) -> Document:
    """A document of arrays from outside: ``label`` and ``inst``, or ``rgb`` where ``kind`` is ``picture``.

    Raises:
        UserError: an array is missing, or its type, shape or range is not that of :class:`Document`.
    """
    wanted = {"rgb": (np.uint8, 3)} if kind == "picture" else {"label": (np.uint16, 2), "inst": (np.uint16, 2)}
    for key, (dtype, ndim) in wanted.items():
        if key not in arrays or arrays[key].dtype != dtype or arrays[key].ndim != ndim:
            raise UserError(f"{name}: it lacks its {key} map")
    document = Document(name, **{key: arrays[key] for key in wanted})
    label, inst = document.label, document.inst
    if label is not None and inst is not None and label.shape != inst.shape:
        raise UserError(f"{name}: label map {label.shape} and instance map {inst.shape} differ in size")
    if label is not None and label.max() >= label_nc:
        raise UserError(f"{name}: label {label.max()} is not below label_nc {label_nc}")
    return document


def instances_of(label: np.ndarray, things: frozenset[int]) -> np.ndarray:
    """Instance numbers for a label map without any: every connected part of a thing becomes an instance."""
    inst = label.astype(np.uint16)
    for thing in sorted(things & set(np.unique(label).tolist())):
        if thing * 1000 + 999 > 65535:
            continue
        count, parts = cv2.connectedComponents((label == thing).astype(np.uint8))
        for k in range(1, count):
            inst[parts == k] = thing * 1000 + min(k - 1, 999)
    return inst


def label_source(
    root: Path,
    phase: str,
    label_nc: int,
    resized: Callable[[int, int], Size],
    labels: str = "",
    instances: str = "",
    photos: str = "",
    allow_8bit: bool = False,
) -> Source:
    """Label maps, with instance maps and photos where they exist.

    Args:
        root, phase: a data set: ``{phase}_label``, ``{phase}_inst`` and ``{phase}_img``, or Cityscapes' own folders.
        label_nc: class numbers are below this.
        resized: (width, height) of a file to that of the document.
        labels, instances, photos: folders that replace the data set's.
        allow_8bit: see :func:`src.imaging.images.read_instances`.

    Raises:
        UserError: there are no label maps.
    """
    folders = _label_folders(root, phase, labels, instances, photos)
    files = {name: _by_stem(folder, name) for name, folder in folders.items() if folder}
    stems = sorted(files["label"])
    if not stems:
        raise UserError(f"{folders['label']} holds no label maps (*.png): pass --labels FOLDER or --data_root FOLDER")
    things = THINGS if label_nc == len(CITYSCAPES) else frozenset()

    def read(index: int) -> Document:
        stem = stems[index]
        label = read_labels(files["label"][stem])
        if label.max() >= label_nc:
            raise UserError(
                f"label {label.max()} in {files['label'][stem]} is not below label_nc {label_nc}: remap it, or pass "
                "--labels with maps of this model's classes"
            )
        size = resized(label.shape[1], label.shape[0])
        _check_size(stem, size)
        label = resize_ids(label, size).astype(np.uint16)
        if stem in files.get("inst", {}):
            inst = resize_ids(read_instances(files["inst"][stem], allow_8bit), size)
            if inst.max() > 65535:
                raise UserError(f"instance id {inst.max()} in {files['inst'][stem]} is above 65535: renumber it")
            inst = inst.astype(np.uint16)
        else:
            inst = instances_of(label, things)
        photo = resize_photo(read_image(files["photo"][stem], 3), size) if stem in files.get("photo", {}) else None
        return Document(stem, label, inst, None, photo)

    return Source("labels", stems, read, str(folders["label"]), things)


def _label_folders(root: Path, phase: str, labels: str, instances: str, photos: str) -> dict[str, Path | None]:
    given = {"label": labels, "inst": instances, "photo": photos}
    found: dict[str, Path | None]
    if labels:
        found = {"label": Path(labels), "inst": None, "photo": None}
    else:
        val = "val" if phase == "test" else phase
        layouts = [
            {"label": root / f"{p}_label", "inst": root / f"{p}_inst", "photo": root / f"{p}_img"}
            for p in dict.fromkeys((phase, "test", "val", "train"))
        ]
        city = root / "gtFine" / val
        layouts.append({"label": city, "inst": city, "photo": root / "leftImg8bit" / val})
        layout = next((layout for layout in layouts if layout["label"].is_dir()), None)
        if layout is None:
            raise UserError(
                f"{root} holds neither {phase}_label nor gtFine: pass --data_root with a data set, or --labels with a "
                "folder of label maps"
            )
        found = dict(layout)
    for name, folder in given.items():
        if folder:
            found[name] = Path(folder)
            if not Path(folder).is_dir():
                option = {"label": "labels", "inst": "instances", "photo": "photos"}[name]
                raise UserError(f"folder {folder} does not exist: check --{option}")
    return {name: folder if folder and folder.is_dir() else None for name, folder in found.items()}


def _by_stem(folder: Path, name: str) -> dict[str, Path]:
    """Files by the common name of a sample's columns; of Cityscapes' several kinds of files only the wanted one."""
    ending = {"label": "_labelIds", "inst": "_instanceIds", "photo": "_leftImg8bit"}[name]
    files = list_images(folder)
    city = [path for path in files if path.stem.endswith(ending)]
    return {stem_of(path): path for path in city or files}


def picture_source(files: list[Path], fitted: Callable[[np.ndarray], np.ndarray], where: str) -> Source:
    """Images to edit; ``fitted`` brings one, uint8 (H, W, 3), to the size of the model."""

    def read(index: int) -> Document:
        info = picture_info(files[index])
        if info.width * info.height > 16 * MAX_PIXELS:
            raise UserError(f"{files[index]} has {info.width}x{info.height} pixels: scale it down")
        return Document(stem_of(files[index]), rgb=np.ascontiguousarray(fitted(read_image(files[index], 3))))

    return Source("picture", [stem_of(path) for path in files], read, where)


def digit_source(classes: int, size: Size) -> Source:
    """A map of each class, for models whose condition is a class."""

    def read(index: int) -> Document:
        label = np.full(size[::-1], index, np.uint16)
        return Document(str(index), label, label.copy())

    return Source("labels", [str(i) for i in range(classes)], read, "the classes")
