"""Unpaired data: two sets of images, A and B, that have nothing in common but their size after cropping.

Each set is a folder (``data_root/{phase}A`` and ``{phase}B``, or ``source_root`` and ``target_root``) or a list file
with one path per line, relative to its root (``data_root/{phase}A.txt`` and ``{phase}B.txt``, or ``source_list`` and
``target_list``). ``{phase}`` in these options stands for the phase.
"""

__all__ = ["UNPAIRED", "UnpairedPipeline", "UnpairedReader", "UnpairedRequest", "geometry_of"]

import hashlib
import itertools
import os
from collections.abc import Container, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..imaging.images import image_to_unit, notice_once, read_image, read_labels, verify_picture
from ..options.config import Config
from . import owners
from .folders import Row
from .frames import BEFORE, FLOW, flow_of, flow_to_planes, same_size, with_earlier
from .geometry import Geometry
from .kind import DataKind
from .opening import open_pipeline
from .pipeline import Batch, Pipeline
from .reader import Reader
from .report import Report
from .transforms import resize_ids
from .unpaired_files import LABEL, evaluation_rows, flow_folder, images_of, label_files, paired_rows, rows_of, title_of

_EARLIER = "A" + BEFORE
# sets of equal size must not be shuffled alike
_OTHER_ORDER = 0x9E3779B1


@dataclass(frozen=True)
class UnpairedRequest:
    """The unpaired data that a system needs.

    Attributes:
        stride: number that both sides of a training image must be divisible by.
        channels: channels of all images.
        labels: whether A must have label maps.
        frames: whether images of A are frames of videos, which come with the frame before and optical flow.
    """

    stride: int = 1
    channels: int = 3
    labels: bool = False
    frames: bool = False


class UnpairedReader(Reader):
    """Reads rows that hold an image of A (with its label map, if there is one), of B, or one of each.

    Columns of a sample: ``A`` and ``B`` float32 ``(input_nc, H, W)`` in [-1, 1], cropped independently of each other;
    ``label_A`` int32 ``(1, H, W)``, cropped with A. With frames also ``A_before``, the frame before, and ``flow``
    float32 ``(3, H, W)`` (see :func:`src.dataset.frames.flow_to_planes`), cropped with A.

    Args:
        request: the data that the system needs.
        options: options of unpaired data.
        phase: name of the records.
        rows: the samples; rows may differ in what they hold, outside training.
        training: images are cropped and flipped to one size; otherwise they are whole.
    """

    kind = "unpaired"

    def __init__(self, request: UnpairedRequest, options: Config, phase: str, rows: list[Row], training: bool):
        rows = rows[: options.max_dataset_size or None]
        if request.frames and "A" in rows[0].files:
            rows = with_earlier(rows, "A", ("A",), flow_folder(options, options.phase))
        self.phase, self.rows, self.training = phase, rows, training
        names = dict.fromkeys(name for row in rows for name in row.files)
        # flow is stored where no file has it, too
        self.columns = self.stored = tuple(names | ({FLOW: None} if _EARLIER in names else {}))
        self.channels = request.channels
        self.geometry = geometry_of(request, options)
        self.keeps_size = not training and options.eval_size != "training"
        self.flips = training and not options.no_flip, training and options.v_flip
        self.settings = {"channels": self.channels, **self.geometry.settings, "rows": _digest(rows)}

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read and resize one row's files; see :meth:`Reader.load`."""
        row = self.rows[index]
        arrays: dict[str, np.ndarray] = {}
        for group in self._groups(row.files):
            raw = {name: self._read(name, row.files[name]) for name in group if name != FLOW}
            source = row.files[group[0]]
            if _EARLIER in raw:
                same_size(raw["A"], row.files["A"], raw[_EARLIER], row.files[_EARLIER])
                raw[FLOW] = flow_of(row.files, "A", raw["A"], (raw[_EARLIER], raw["A"]))
            if LABEL in raw:
                raw[LABEL] = self._fitted(raw[LABEL], raw[group[0]], row.files[LABEL])
            if self.training:
                raw = self.geometry.store(raw, str(source))
            elif not self.keeps_size:
                raw = self.geometry.whole(raw)
            arrays |= raw
        return {name: a[:, :, 0] if a.ndim == 3 and a.shape[2] == 1 else a for name, a in arrays.items()}

    @staticmethod
    def _groups(names: Container[str]) -> list[list[str]]:
        """Columns that are cropped alike."""
        groups = (("A", LABEL, _EARLIER, FLOW), ("B",))
        return [[name for name in group if name in names] for group in groups if group[0] in names]

    def _read(self, name: str, path: Path) -> np.ndarray:
        if name != LABEL:
            return read_image(path, self.channels)
        labels = read_labels(path)
        return labels.astype(np.uint8 if labels.max() < 256 else np.uint16)

    @staticmethod
    def _fitted(labels: np.ndarray, image: np.ndarray, path: Path) -> np.ndarray:
        if labels.shape != image.shape[:2]:
            # some published GTA5 label maps have another size than their image
            notice_once("label size", f"label maps are resized to the size of their images (first: {path})")
        return resize_ids(labels, (image.shape[1], image.shape[0]))

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        height, width = next(iter(arrays.values())).shape[:2]
        if self.training:
            width, height = self.geometry.cropped(width, height)
        return height, width

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Crop, flip and normalise; see :meth:`Reader.sample`."""
        sample = {}
        for group in self._groups(arrays):
            part = {n: arrays[n] if n == LABEL else np.atleast_3d(arrays[n]) for n in group}
            if rng is not None:
                part = self.geometry.sample(part, *self.flips, rng)
            for name, array in part.items():
                if name == LABEL:
                    sample[name] = array.astype(np.int32, order="C")[None]
                elif name == FLOW:
                    sample[name] = flow_to_planes(array)
                else:
                    sample[name] = image_to_unit(array)
        return sample

    def inspect(self, index: int) -> None:
        """Check images by their checksums only, because decoding them is slow."""
        for name, path in self.rows[index].files.items():
            if name == LABEL:
                read_labels(path)
            else:
                verify_picture(path)


class UnpairedPipeline(Pipeline):
    """Two pipelines side by side, each in an order of its own.

    An epoch is one pass over the larger set; the smaller set is repeated, in a new order each time. Batches hold the
    columns of both, ``id_A`` and ``id_B``, and ``id``, which is ``id_A``: names and files are those of A.
    """

    def __init__(self, a: Pipeline, b: Pipeline):
        super().__init__(a.reader, a.records, batch_size=a.batch_size)
        self.a, self.b = a, b
        own = tuple(name for name in (*a.columns, *b.columns) if name != "id")
        self.columns = (*own, "id", "id_A", "id_B")
        self.num_samples = max(a.num_samples, b.num_samples)
        self.steps_per_epoch = max(a.steps_per_epoch, b.steps_per_epoch)

    @property
    def problems(self) -> Mapping[Any, str]:
        """The fault of each damaged sample so far, by its set and number."""
        return {f"{d} {i}": text for d, p in (("A", self.a), ("B", self.b)) for i, text in p.problems.items()}

    def epochs(self, total_epochs: int, first_step: int = 0) -> Generator[tuple[int, Iterator[Batch]], None, None]:
        """Yield ``(epoch, batches)`` from ``first_step`` on, exactly as an uninterrupted run would go on."""
        total = total_epochs * self.steps_per_epoch
        streams = [_endless(p, total, first_step) for p in (self.a, self.b)]
        merged = (_merge(a, b) for a, b in zip(*streams, strict=False))
        first_epoch, done = divmod(first_step, self.steps_per_epoch)
        try:
            for epoch in range(first_epoch, total_epochs):
                batches = itertools.islice(merged, self.steps_per_epoch - done)
                done = 0
                yield epoch, batches
                for _ in batches:
                    pass
        finally:
            merged.close()
            for stream in streams:
                stream.close()


def _endless(pipeline: Pipeline, total: int, first_step: int) -> Generator[Batch, None, None]:
    rounds = -(-total // pipeline.steps_per_epoch)
    for _, batches in pipeline.epochs(rounds, first_step):
        yield from batches


def _merge(a: Batch, b: Batch) -> Batch:
    ids = {"id": a["id"], "id_A": a["id"], "id_B": b["id"]}
    return {**{k: v for k, v in a.items() if k != "id"}, **{k: v for k, v in b.items() if k != "id"}, **ids}


def _digest(rows: list[Row]) -> str:
    """A digest of the files of all rows, because a list may order or pair the same files in another way."""
    text = "\n".join(str(path) for row in rows for path in row.files.values())
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def open_unpaired(
    request: UnpairedRequest, options: Config, phase: str, rank: int, world: int, training: bool
) -> Pipeline:
    """Open unpaired data for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if not training:
        return _open_whole(request, options, phase, rank, world)
    a, b = (images_of(options, domain, phase) for domain in "AB")
    labels = label_files(options, phase, a, needed=request.labels)

    def opened(rows: list[Row], name: str, seed: int) -> Pipeline:
        reader = UnpairedReader(request, options, name, rows, training=True)
        return open_pipeline(reader, options, rank, world, training=True, seed=seed)

    if not options.random_pair:
        return opened(paired_rows(a, b, labels), phase, options.seed)
    rows_a, rows_b = rows_of(a.once(), "A", labels), rows_of(b.once(), "B")
    return UnpairedPipeline(
        opened(rows_a, f"{phase}A", options.seed), opened(rows_b, f"{phase}B", options.seed + _OTHER_ORDER)
    )


def _open_whole(request: UnpairedRequest, options: Config, phase: str, rank: int, world: int) -> Pipeline:
    rows, video = evaluation_rows(options, phase)
    reader = UnpairedReader(request, options, phase, rows, training=False)
    pipeline = open_pipeline(reader, options, rank, world, training=False)
    pipeline.video, pipeline.source = video, title_of(options.input)
    pipeline.label_folder = options.label_root.replace("{phase}", phase)
    return pipeline


def geometry_of(request: UnpairedRequest, options: Config) -> Geometry:
    """The geometry of images in training."""
    height, width = training_size(request, options)
    numbers = options.load_size, width, height, request.stride, options.scale_l, options.scale_h
    return Geometry("unpaired", options.resize_or_crop, *numbers)


def _count(request: UnpairedRequest, options: Config, phase: str) -> int:
    a, b = (images_of(options, domain, phase) for domain in "AB")
    # finds labels, and the frames that follow each other
    _reads(request, options, phase)
    return min(len(a.files), len(b.files))


def _reads(request: UnpairedRequest, options: Config, phase: str) -> UnpairedReader:
    a = images_of(options, "A", phase)
    labels = label_files(options, phase, a, needed=request.labels)
    return UnpairedReader(request, options, phase, rows_of(a.once(), "A", labels), training=True)


def training_size(request: UnpairedRequest, options: Config) -> tuple[int, int]:
    """Height and width of training samples."""
    return options.crop_height or options.fine_size, options.crop_width or options.fine_size


def example(request: UnpairedRequest, batch_size: int, size: tuple[int, int], training: bool) -> dict[str, np.ndarray]:
    """A batch of zeros."""
    image, ids = np.zeros((batch_size, request.channels, *size), np.float32), np.zeros(batch_size, np.int32)
    batch = {"A": image, "B": image, "id_A": ids, "id_B": ids}
    if request.frames:
        batch |= {_EARLIER: image, FLOW: np.zeros((batch_size, 3, *size), np.float32)}
    return batch | ({LABEL: np.zeros((batch_size, 1, *size), np.int32)} if request.labels else {})


def _examine(request: UnpairedRequest, options: Config, phase: str) -> Report:
    # here, because an examination is rare and reads what training does not
    from .check_unpaired import examine

    return examine(request, options, phase)


UNPAIRED = DataKind(
    "unpaired",
    owners.UNPAIRED,
    UnpairedRequest,
    open_unpaired,
    _examine,
    _count,
    training_size,
    example,
    _reads,
    whole={"input": "", "style": "", "test_pairs": False, "direction": "both"},
)
