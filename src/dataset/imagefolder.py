"""Square pictures without labels, for models of images: a folder of pictures, at any depth.

Where ``data_root`` holds ``{phase}_img`` the pictures of a phase are those. Otherwise all pictures below
``data_root`` are one set, in the order of their paths: the last ``held_out`` of them are the phase ``test``, the
others ``train``.
"""

__all__ = ["FITS", "ImageReader", "image_rows", "open_images", "to_square"]

from pathlib import Path

import numpy as np
from PIL import Image

from src.dataset.folders import Row, list_images
from src.dataset.opening import open_pipeline
from src.dataset.pipeline import Pipeline
from src.dataset.reader import Reader
from src.utils.errors import UserError
from src.utils.images import IMAGE_EXTENSIONS, image_to_unit, notice_once, read_image, verify_picture

FITS = ("crop", "squash")
# with held_out 0 nothing is kept from training, and published evaluation looks at this many of the last pictures
_PUBLISHED_TEST = 200


def to_square(image: np.ndarray, size: int, fit: str) -> np.ndarray:
    """(H, W, C) uint8 to (size, size, C), Lanczos; ``squash`` ignores the shape, ``crop`` cuts the middle out."""
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
    """The pictures of a phase, each with its path below the folder as its name.

    Raises:
        UserError: no such folder, no pictures in it, or fewer than would be held out.
    """
    root = Path(data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root {root} does not exist: pass --data_root with a folder of pictures, or make one from a zip "
            "file with data/create_hflow_dataset.py"
        )
    own = root / f"{phase}_img"
    folder = own if own.is_dir() else root
    rows = [
        Row("_".join(path.relative_to(folder).with_suffix("").parts), {"image": path}) for path in list_images(folder)
    ]
    if not rows:
        raise UserError(f"folder {folder} holds no pictures ({', '.join(IMAGE_EXTENSIONS)}): check --data_root")
    if folder is own:
        return rows
    if held_out >= len(rows):
        raise UserError(
            f"held_out {held_out} leaves nothing to train on: {root} holds {len(rows)} pictures; pass a smaller "
            f"--held_out, such as {max(1, len(rows) // 10)}"
        )
    if phase == "train":
        return rows[: len(rows) - held_out]
    if not held_out:
        notice_once(str(root), f"held_out is 0: evaluation looks at pictures of {root} that training has seen")
    return rows[-(held_out or _PUBLISHED_TEST) :]


class ImageReader(Reader):
    """Reads pictures as ``image``: float32 (3, R, R) in [-1, 1], mirrored at random in training.

    R is the first of ``resolutions``; ``image_fit`` says how other shapes become squares.
    """

    kind = "images"
    stored = ("image",)
    columns = ("image",)

    def __init__(self, config, phase: str, training: bool):
        self.phase = phase
        self.rows = image_rows(config.data_root, phase, config.held_out)
        if config.max_dataset_size:
            self.rows = self.rows[: int(config.max_dataset_size)]
        self.size, self.fit = int(config.resolutions[0]), config.image_fit
        self._flips = training and not config.no_flip
        self.settings = {"size": self.size, "image_fit": self.fit, "rows": len(self.rows)}

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read one picture and make it a square; see :meth:`Reader.load`."""
        return {"image": to_square(read_image(self.rows[index].files["image"], 3), self.size, self.fit)}

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        return arrays["image"].shape[:2]

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Mirror half of the pictures left to right, and normalise."""
        image = arrays["image"]
        if rng is not None and self._flips and rng.random() < 0.5:
            image = image[:, ::-1]
        return {"image": image_to_unit(image)}

    def inspect(self, index: int) -> None:
        """Check a picture by its checksums where it has some, because decoding is slow."""
        verify_picture(self.rows[index].files["image"])


def open_images(config, phase: str, rank: int, world: int, training: bool) -> Pipeline:
    """Open pictures for training (from records) or for evaluation (from the files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    reader = ImageReader(config, phase, training)
    return open_pipeline(reader, config, rank, world, training)
