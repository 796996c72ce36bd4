"""Pictures with a condition of the same size: Cityscapes, maps, MNIST, and the folders of pix2pixHD."""

__all__ = ["ConditionalReader", "open_conditional"]

import numpy as np
from PIL import Image

from src.dataset.layouts import LAYOUTS
from src.dataset.opening import open_pipeline
from src.dataset.pipeline import Pipeline
from src.dataset.reader import Reader
from src.dataset.transforms import resize_ids
from src.utils.errors import UserError
from src.utils.images import image_to_unit


class ConditionalReader(Reader):
    """Reads conditions and pictures (see :class:`src.dataset.reader.Reader`); nothing is cropped or flipped.

    Columns of a sample: ``condition`` and ``image`` float32 (C, H, W) in [-1, 1], and with ``use_bmaps``
    ``boundary`` float32 (3, H, W) in [0, 1]. H and W are ``img_size``, whatever the size of the files: they
    are resized bilinearly, as published, or with ``label_resize nearest`` label maps and boundaries without
    blending. Outside training ``image`` is left out where the data set has no folder for it.
    """

    kind = "conditional"

    def __init__(self, config, phase: str, training: bool = True):
        self.config, self.phase = config, phase
        self.layout = LAYOUTS[config.dataset](config, phase)
        self.condition, self.image = self.layout.sides
        sources = {"condition": self.condition}
        if training or self.layout.has(self.image):
            sources["image"] = self.image
        if getattr(config, "use_bmaps", False):
            sources["boundary"] = "boundary"
        self._sources = sources
        self._needed = tuple(dict.fromkeys(sources.values()))
        self.rows = self.layout.rows(self._needed)
        limit = config.max_dataset_size
        if limit and limit < len(self.rows):
            self.rows = self.rows[:limit]
        self.stored = self.columns = tuple(sources)
        self.size = tuple(config.img_size)
        self.settings = {
            "dataset": config.dataset,
            "direction": config.direction,
            "img_size": list(self.size),
            "label_resize": config.label_resize,
            "label_nc": config.label_nc if config.dataset == "pairs" else 0,
            "channels": [config.condition_nc, config.image_nc],
            "rows": len(self.rows),
        }

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read, check and resize one sample's files; see :meth:`Reader.load`."""
        row = self.rows[index]
        arrays = self.layout.read(row, self._needed)
        sizes = {name: array.shape[:2] for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{row.files[name]} {h}x{w}" for name, (h, w) in sizes.items())
            raise UserError(f"the files of sample {row.stem} have different sizes: {shown}")
        stored = {}
        for column, source in self._sources.items():
            array = arrays[source]
            is_class = column == "condition" and self.layout.planes > 0
            if not is_class and column != "boundary":
                array = self._with_channels(array, "condition_nc" if column == "condition" else "image_nc")
            sharp = self.config.label_resize == "nearest" and source in ("label", "boundary")
            stored[column] = self._resized(array, is_class or sharp)
        return stored

    def _with_channels(self, array: np.ndarray, option: str) -> np.ndarray:
        """The picture with as many channels as the network takes."""
        wanted = getattr(self.config, option)
        if wanted not in (1, 3):
            raise UserError(f"{option} {wanted} does not fit pictures, which have 1 or 3 channels")
        if wanted == 3 and array.ndim == 2:
            return np.repeat(array[:, :, None], 3, 2)
        if wanted == 1 and array.ndim == 3:
            return np.array(Image.fromarray(array).convert("L"))
        return array

    def _resized(self, array: np.ndarray, sharp: bool) -> np.ndarray:
        height, width = self.size
        if sharp:
            return resize_ids(array, (width, height))
        if array.shape[:2] == (height, width):
            return array
        return np.array(Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR))

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        return arrays["condition"].shape[:2]

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Normalise; see :meth:`Reader.sample`."""
        sample = {}
        for column, array in arrays.items():
            if column == "boundary":
                sample[column] = np.repeat(array.astype(np.float32)[None] / np.float32(255.0), 3, 0)
            elif column == "condition" and self.layout.planes:
                classes = np.arange(self.layout.planes, dtype=array.dtype)[:, None, None]
                sample[column] = np.where(array[None] == classes, np.float32(1), np.float32(-1))
            else:
                sample[column] = image_to_unit(np.atleast_3d(array))
        return sample


def open_conditional(config, phase: str, rank: int, world: int, training: bool) -> Pipeline:
    """Open conditions and pictures for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if config.dataset not in LAYOUTS:
        raise UserError(f"dataset {config.dataset} is not one of {', '.join(LAYOUTS)}")
    reader = ConditionalReader(config, phase, training)
    planes = reader.layout.planes
    if planes and config.condition_nc != planes:
        raise UserError(f"conditions of data set {config.dataset} have {planes} channels: pass --condition_nc {planes}")
    return open_pipeline(reader, config, rank, world, training)
