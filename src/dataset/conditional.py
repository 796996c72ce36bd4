"""Images with a condition of the same size: Cityscapes, maps, MNIST, and the folders of pix2pixHD."""

__all__ = ["CONDITIONAL", "ConditionalReader", "ConditionalRequest", "Preparation"]

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from ..imaging.images import image_to_unit
from ..options.config import Config
from ..utils.errors import UserError
from . import owners
from .kind import DataKind
from .layouts import LAYOUTS
from .opening import open_pipeline
from .pipeline import Pipeline
from .reader import Reader
from .report import Report
from .transforms import resize_ids


@dataclass(frozen=True)
class ConditionalRequest:
    """The conditional data that a system needs.

    Attributes:
        size: (height, width) of both sides.
        condition_channels, image_channels: of the two sides.
        boundary: whether there must be boundary maps.
        channel_options: names of the options behind the channels of ``condition`` and ``image``, for messages.
    """

    size: tuple[int, int]
    condition_channels: int = 3
    image_channels: int = 3
    boundary: bool = False
    channel_options: Mapping[str, str] = field(default_factory=dict)


class Preparation:
    """Converts arrays of any size, from files or from Python callers, to the input of the network.

    Columns are ``condition``, ``image`` and ``boundary``, see :class:`ConditionalReader`.

    Args:
        request: the data that the system needs.
        options: options of conditional data.

    Raises:
        UserError: a ``mapping`` that the data set does not have, or channels that its images cannot have.
    """

    def __init__(self, request: ConditionalRequest, options: Config):
        self.request, self._options, self._layout = request, options, LAYOUTS[options.dataset]
        condition, image = self._layout.sides_of(options)
        #: source of each column
        self.sources = {"condition": condition, "image": image, "boundary": "boundary"}
        #: channels of a condition that is a class number instead of an image, else 0
        self.planes = self._layout.planes
        #: classes of the label maps, on whichever side; 0 where the data set keeps none
        self.classes = self._layout.classes(options)
        #: classes of the label maps that are conditions; 0 where conditions are images
        self.label_nc = self.classes if condition == "label" else 0
        self._check_channels()

    def coded(self, ids: np.ndarray) -> np.ndarray:
        """A label map (H, W) of class numbers as the data set stores it: colours (H, W, 3) uint8, or ``ids``."""
        return self._layout.coded(ids, self._options)

    def stored(self, column: str, array: np.ndarray) -> np.ndarray:
        """An array (H, W), (H, W, 1) or (H, W, 3), uint8, with the channels and the size that the network takes."""
        array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
        is_class = column == "condition" and self.planes > 0
        if not is_class and column != "boundary":
            array = self._with_channels(array, column)
        sharp = self._options.label_resize == "nearest" and self.sources[column] in ("label", "boundary")
        height, width = self.request.size
        if is_class or sharp:
            return resize_ids(array, (width, height))
        if array.shape[:2] == (height, width):
            return array
        return np.array(Image.fromarray(array).resize((width, height), Image.Resampling.BILINEAR))

    def _check_channels(self) -> None:
        wanted = {"condition": self.request.condition_channels, "image": self.request.image_channels}
        if self.planes and wanted.pop("condition") != self.planes:
            raise UserError(
                f"conditions of data set {self._options.dataset} have {self.planes} channels, and the network takes "
                f"{self.request.condition_channels}{self._way_out('condition', self.planes)}"
            )
        for column, channels in wanted.items():
            if channels not in (1, 3):
                raise UserError(
                    f"a network that takes {channels} channels as {column} does not fit images, which have 1 or 3"
                    + self._way_out(column, 3)
                )

    def _way_out(self, column: str, channels: int) -> str:
        option = self.request.channel_options.get(column)
        return f": pass --{option} {channels}" if option else ""

    def _with_channels(self, array: np.ndarray, column: str) -> np.ndarray:
        wanted = self.request.condition_channels if column == "condition" else self.request.image_channels
        if wanted == 3 and array.ndim == 2:
            return np.repeat(array[:, :, None], 3, 2)
        if wanted == 1 and array.ndim == 3:
            return np.array(Image.fromarray(array).convert("L"))
        return array

    def normalised(self, column: str, array: np.ndarray) -> np.ndarray:
        """The result of :meth:`stored` as float32 (C, H, W)."""
        if column == "boundary":
            return np.repeat(array.astype(np.float32)[None] / np.float32(255.0), 3, 0)
        if column == "condition" and self.planes:
            classes = np.arange(self.planes, dtype=array.dtype)[:, None, None]
            return np.where(array[None] == classes, np.float32(1), np.float32(-1))
        return image_to_unit(np.atleast_3d(array))

    def prepared(self, column: str, array: np.ndarray) -> np.ndarray:
        """An array as a column of a sample: :meth:`stored`, then :meth:`normalised`."""
        return self.normalised(column, self.stored(column, array))


class ConditionalReader(Reader):
    """Reads conditions and images (see :class:`src.dataset.reader.Reader`); nothing is cropped or flipped.

    Columns of a sample: ``condition`` and ``image`` float32 (C, H, W) in [-1, 1], and where requested ``boundary``
    float32 (3, H, W) in [0, 1]. H and W are those of the request, whatever the size of the files: they are resized
    bilinearly, as published, or with ``label_resize nearest`` label maps and boundaries without blending. Outside
    training ``image`` is left out where the data set has no folder for it.
    """

    kind = "conditional"

    def __init__(self, request: ConditionalRequest, options: Config, phase: str, training: bool = True):
        self.prepare, self.phase = Preparation(request, options), phase
        self.layout = LAYOUTS[options.dataset](options, phase)
        columns = ["condition"]
        if training or self.layout.has(self.prepare.sources["image"]):
            columns.append("image")
        if request.boundary:
            columns.append("boundary")
        self.stored = self.columns = tuple(columns)
        self._sources = {name: self.prepare.sources[name] for name in columns}
        self.needed = tuple(dict.fromkeys(self._sources.values()))
        self.rows = self.layout.rows(self.needed)[: options.max_dataset_size or None]
        self.settings = {
            "dataset": options.dataset,
            "direction": options.mapping,  # its name when the first records were written
            "img_size": list(request.size),
            "label_resize": options.label_resize,
            "label_nc": options.label_nc if options.dataset == "pairs" else 0,
            "channels": [request.condition_channels, request.image_channels],
            "rows": len(self.rows),
        }

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read, check and resize one sample's files; see :meth:`Reader.load`."""
        row = self.rows[index]
        arrays = self.layout.read(row, self.needed)
        sizes = {name: array.shape[:2] for name, array in arrays.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{row.files[name]} {h}x{w}" for name, (h, w) in sizes.items())
            raise UserError(f"the files of sample {row.stem} have different sizes: {shown}")
        return {column: self.prepare.stored(column, arrays[source]) for column, source in self._sources.items()}

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        height, width = arrays["condition"].shape[:2]
        return height, width

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Normalise; see :meth:`Reader.sample`."""
        return {column: self.prepare.normalised(column, array) for column, array in arrays.items()}


def open_conditional(
    request: ConditionalRequest, options: Config, phase: str, rank: int, world: int, training: bool
) -> Pipeline:
    """Open conditions and images for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    reader = ConditionalReader(request, options, phase, training)
    return open_pipeline(reader, options, rank, world, training)


def _count(request: ConditionalRequest, options: Config, phase: str) -> int:
    return len(ConditionalReader(request, options, phase).rows)


def training_size(request: ConditionalRequest, options: Config) -> tuple[int, int]:
    """Height and width of training samples."""
    return request.size


def example(
    request: ConditionalRequest, batch_size: int, size: tuple[int, int], training: bool
) -> dict[str, np.ndarray]:
    """A batch of zeros."""
    columns = {"condition": request.condition_channels, "image": request.image_channels}
    columns |= {"boundary": 3} if request.boundary else {}
    batch = {name: np.zeros((batch_size, channels, *size), np.float32) for name, channels in columns.items()}
    return batch | {"id": np.zeros(batch_size, np.int32)}


def _examine(request: ConditionalRequest, options: Config, phase: str) -> Report:
    # here, because an examination is rare and reads what training does not
    from .check_conditional import examine

    return examine(request, options, phase)


CONDITIONAL = DataKind(
    "conditional", owners.CONDITIONAL, ConditionalRequest, open_conditional, _examine, _count, training_size, example
)
