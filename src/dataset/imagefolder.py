"""Square images without labels, for models of images: a folder of images, at any depth.

Where ``data_root`` holds ``{phase}_img``, the images of a phase are those. Otherwise all images below ``data_root`` are
one set, in the order of their paths: the last ``held_out`` of them are the phase ``test``, the others ``train``.
"""

__all__ = ["FITS", "IMAGES", "ImageReader", "ImagesRequest", "image_rows", "to_square"]

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from PIL import Image

from ..imaging.images import IMAGE_EXTENSIONS, image_to_unit, notice_once, read_image, verify_picture
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.text import counted
from . import owners
from .folders import Row, list_images, names_of
from .kind import DataKind
from .opening import open_pipeline
from .pipeline import Pipeline
from .reader import Reader
from .report import Report

FITS = ("crop", "squash")
# with held_out 0 nothing is kept from training, and published evaluation takes this many of the last images
_PUBLISHED_TEST = 200


def to_square(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """Resize (H, W, C) uint8 to (size, size, C), Lanczos: the whole (``squash``) or the central square (``crop``)."""
    height, width = image.shape[:2]
    side = min(height, width)
    if fit == "crop" and height != width:
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    if image.shape[:2] == (size, size):
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def image_rows(data_root: str | Path, phase: str, held_out: int) -> list[Row]:
    """The images of a phase, named by their paths below the folder.

    Raises:
        UserError: no such folder, no images in it, or no more for training than are held out.
    """
    root = Path(data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root {root} does not exist: pass --data_root with a folder of images, or make one from a zip "
            "file with data/create_hflow_dataset.py"
        )
    own = root / f"{phase}_img"
    folder = own if own.is_dir() else root
    files = list_images(folder)
    names = names_of(files, folder, stem=attrgetter("stem"), with_folders=True)
    rows = [Row(name, {"image": path}) for name, path in zip(names, files, strict=True)]
    if not rows:
        raise UserError(f"folder {folder} holds no images ({', '.join(IMAGE_EXTENSIONS)}): check --data_root")
    if folder is own:
        return rows
    if phase == "train":
        if held_out >= len(rows):
            raise UserError(
                f"held_out {held_out} leaves nothing to train on: {root} holds {counted(len(rows), 'image')}; pass a "
                f"smaller --held_out, such as {-(-len(rows) // 10) if len(rows) > 1 else 0}"
            )
        return rows[: len(rows) - held_out]
    if not held_out:
        notice_once(str(root), f"held_out is 0: evaluation uses images of {root} that training has seen")
    return rows[-(held_out or _PUBLISHED_TEST) :]


@dataclass(frozen=True)
class ImagesRequest:
    """The square images that a system needs: height and width in pixels."""

    resolution: int


class ImageReader(Reader):
    """Reads images as ``image``: float32 (3, R, R) in [-1, 1], mirrored at random in training.

    R is the resolution of the request; ``image_fit`` selects how images are made square.
    """

    kind = "images"
    stored = ("image",)
    columns = ("image",)

    def __init__(self, request: ImagesRequest, options: Config, phase: str, training: bool):
        self.phase = phase
        self.rows = image_rows(options.data_root, phase, options.held_out)[: options.max_dataset_size or None]
        self.size, self.fit = request.resolution, options.image_fit
        self._flips = training and not options.no_flip
        self.settings = {"size": self.size, "image_fit": self.fit, "rows": len(self.rows)}

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read one image and make it a square; see :meth:`Reader.load`."""
        return {"image": to_square(read_image(self.rows[index].files["image"], 3), self.size, self.fit)}

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        height, width = arrays["image"].shape[:2]
        return height, width

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Mirror half of the images left to right, and normalise."""
        image = arrays["image"]
        if rng is not None and self._flips and rng.random() < 0.5:
            image = image[:, ::-1]
        return {"image": image_to_unit(image)}

    def inspect(self, index: int) -> None:
        """Check an image by its checksums where it has some, because decoding is slow."""
        verify_picture(self.rows[index].files["image"])


def open_images(request: ImagesRequest, options: Config, phase: str, rank: int, world: int, training: bool) -> Pipeline:
    """Open images for training (from records) or for evaluation (from the files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    reader = ImageReader(request, options, phase, training)
    return open_pipeline(reader, options, rank, world, training)


def _count(request: ImagesRequest, options: Config, phase: str) -> int:
    return len(ImageReader(request, options, phase, training=True).rows)


def training_size(request: ImagesRequest, options: Config) -> tuple[int, int]:
    """Height and width of training samples."""
    return request.resolution, request.resolution


def example(request: ImagesRequest, batch_size: int, size: tuple[int, int], training: bool) -> dict[str, np.ndarray]:
    """A batch of zeros."""
    return {"image": np.zeros((batch_size, 3, *size), np.float32), "id": np.zeros(batch_size, np.int32)}


def _examine(request: ImagesRequest, options: Config, phase: str) -> Report:
    # here, because an examination is rare and reads what training does not
    from .check_images import examine

    return examine(request, options, phase)


IMAGES = DataKind("images", owners.IMAGES, ImagesRequest, open_images, _examine, _count, training_size, example)
