"""Unpaired data: two sets of images, A and B, that have nothing in common but their size after cropping.

Each set is a folder (``data_root/{phase}A`` and ``{phase}B``, or ``source_root`` and ``target_root``) or a list file
with one path per line, relative to its root (``data_root/{phase}A.txt`` and ``{phase}B.txt``, or ``source_list`` and
``target_list``). ``{phase}`` in these options stands for the phase.
"""

__all__ = ["UNPAIRED", "UnpairedPipeline", "UnpairedReader", "UnpairedRequest", "geometry_of"]

import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..imaging.images import (
    IMAGE_EXTENSIONS,
    image_to_unit,
    notice_once,
    read_image,
    read_labels,
    verify_picture,
)
from ..imaging.names import file_name, pair_name
from ..imaging.video import VIDEO_EXTENSIONS, Video
from ..options.config import Config
from ..utils.errors import UserError
from . import owners
from .folders import Row, find_partners, list_images, names_of
from .geometry import Geometry
from .kind import DataKind
from .lists import read_list
from .opening import open_pipeline
from .pipeline import Batch, Pipeline
from .reader import Reader
from .report import Report
from .transforms import resize_ids

_OPTIONS = {"A": ("source_root", "source_list"), "B": ("target_root", "target_list")}
_LABEL = "label_A"
# sets of equal size must not be shuffled alike
_OTHER_ORDER = 0x9E3779B1


@dataclass(frozen=True)
class UnpairedRequest:
    """What a system needs of unpaired data.

    Attributes:
        stride: what both sides of a training image must be divisible by.
        channels: of all images.
        labels: whether A must have label maps.
    """

    stride: int = 1
    channels: int = 3
    labels: bool = False


class UnpairedReader(Reader):
    """Reads rows that hold an image of A (with its label map, if there is one), of B, or one of each.

    Columns of a sample: ``A`` and ``B`` float32 ``(input_nc, H, W)`` in [-1, 1], cropped independently of
    each other; ``label_A`` int32 ``(1, H, W)``, cropped with A.

    Args:
        request: what the system needs.
        options: those of unpaired data.
        phase: name of the records.
        rows: the samples; rows may differ in what they hold, outside training.
        training: images are cropped and flipped to one size; otherwise they are whole.
    """

    kind = "unpaired"

    def __init__(self, request: UnpairedRequest, options: Config, phase: str, rows: list[Row], training: bool):
        if options.max_dataset_size:
            rows = rows[: int(options.max_dataset_size)]
        self.phase, self.rows, self.training = phase, rows, training
        self.columns = self.stored = tuple(dict.fromkeys(name for row in rows for name in row.files))
        self.channels = request.channels
        self.geometry = geometry_of(request, options)
        self.keeps_size = not training and options.eval_size != "training"
        self.flips = training and not options.no_flip, training and options.v_flip
        self.settings = {"channels": self.channels, **self.geometry.settings, "rows": _digest(rows)}

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read and resize one row's files; see :meth:`Reader.load`."""
        row = self.rows[index]
        arrays = {}
        for group in self._groups(row.files):
            raw = {name: self._read(name, row.files[name]) for name in group}
            source = row.files[group[0]]
            if _LABEL in raw:
                raw[_LABEL] = self._fitted(raw[_LABEL], raw[group[0]], row.files[_LABEL])
            if self.training:
                raw = self.geometry.store(raw, str(source))
            elif not self.keeps_size:
                raw = self.geometry.whole(raw)
            arrays |= raw
        return {name: a[:, :, 0] if a.ndim == 3 and a.shape[2] == 1 else a for name, a in arrays.items()}

    @staticmethod
    def _groups(names) -> list[list[str]]:
        """Columns that are cropped alike."""
        groups = (("A", _LABEL), ("B",))
        return [[name for name in group if name in names] for group in groups if group[0] in names]

    def _read(self, name: str, path: Path) -> np.ndarray:
        if name != _LABEL:
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
            part = {n: arrays[n] if n == _LABEL else np.atleast_3d(arrays[n]) for n in group}
            if rng is not None:
                part = self.geometry.sample(part, *self.flips, rng)
            for name, array in part.items():
                if name == _LABEL:
                    sample[name] = array.astype(np.int32, order="C")[None]
                else:
                    sample[name] = image_to_unit(array)
        return sample

    def inspect(self, index: int) -> None:
        """Check images by their checksums only, because decoding them is slow."""
        for name, path in self.rows[index].files.items():
            if name == _LABEL:
                read_labels(path)
            else:
                verify_picture(path)


class UnpairedPipeline:
    """Two pipelines side by side, each in an order of its own; see :class:`src.dataset.pipeline.Pipeline`.

    An epoch is one pass over the larger set; the smaller one goes round, in a new order each time. Batches
    hold the columns of both, ``id_A`` and ``id_B``, and ``id``, which is ``id_A``.
    """

    def __init__(self, a: Pipeline, b: Pipeline):
        self.a, self.b = a, b
        own = tuple(name for name in (*a.columns, *b.columns) if name != "id")
        self.columns = (*own, "id", "id_A", "id_B")
        self.num_samples = max(a.num_samples, b.num_samples)
        self.steps_per_epoch = max(a.steps_per_epoch, b.steps_per_epoch)
        self.batch_size = a.batch_size
        self.size = a.size

    @property
    def problems(self) -> dict[str, str]:
        """What was wrong with each damaged sample so far."""
        return {f"{d} {i}": text for d, p in (("A", self.a), ("B", self.b)) for i, text in p.problems.items()}

    def name(self, index: int) -> str:
        """The name of image ``index`` of A."""
        return self.a.name(index)

    def files(self, index: int) -> dict[str, Path]:
        """The files of row ``index`` of A by column."""
        return self.a.files(index)

    def epochs(self, total_epochs: int, first_step: int = 0) -> Iterator[tuple[int, Iterator[Batch]]]:
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


def _endless(pipeline: Pipeline, total: int, first_step: int) -> Iterator[Batch]:
    rounds = -(-total // pipeline.steps_per_epoch)
    for _, batches in pipeline.epochs(rounds, first_step):
        yield from batches


def _merge(a: Batch, b: Batch) -> Batch:
    ids = {"id": a["id"], "id_A": a["id"], "id_B": b["id"]}
    return {**{k: v for k, v in a.items() if k != "id"}, **{k: v for k, v in b.items() if k != "id"}, **ids}


def _digest(rows: list[Row]) -> str:
    """Which files a row holds: a list may order or pair the same files in another way."""
    text = "\n".join(str(path) for row in rows for path in row.files.values())
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def open_unpaired(
    request: UnpairedRequest, options: Config, phase: str, rank: int, world: int, training: bool
) -> Pipeline | UnpairedPipeline:
    """Open unpaired data for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if not training:
        return _open_whole(request, options, phase, rank, world)
    a, b = (_files(options, domain, phase) for domain in "AB")
    labels = _label_files(options, phase, a)
    if request.labels and not labels:
        raise UserError("the label maps of A are needed here: name their folder with --label_root FOLDER")

    def opened(rows: list[Row], name: str, seed: int) -> Pipeline:
        reader = UnpairedReader(request, options, name, rows, training=True)
        return open_pipeline(reader, options, rank, world, training=True, seed=seed)

    if not options.random_pair:
        return opened(_paired_rows(a, b, labels), phase, options.seed)
    # lists repeat files to reach a length; shuffled passes over the distinct ones are the same distribution
    a, b = (listed._replace(files=list(dict.fromkeys(listed.files))) for listed in (a, b))
    rows_a, rows_b = _rows(a, "A"), _rows(b, "B")
    if labels:
        rows_a = [Row(row.stem, row.files | {_LABEL: labels[row.files["A"]]}) for row in rows_a]
    return UnpairedPipeline(
        opened(rows_a, f"{phase}A", options.seed), opened(rows_b, f"{phase}B", options.seed + _OTHER_ORDER)
    )


class _Listed(NamedTuple):
    """The images of a domain, and the folder below which they are named."""

    files: list[Path]
    folder: Path


def _rows(listed: _Listed, column: str) -> list[Row]:
    return [Row(name, {column: file}) for name, file in zip(names_of(*listed), listed.files, strict=True)]


def _paired_rows(a: _Listed, b: _Listed, labels: dict[Path, Path] | None = None) -> list[Row]:
    """Image i of A with image i of B, which starts again where it ends, named ``{content}_to_{style}``."""
    contents, styles = (names_of(*listed, stem=attrgetter("stem")) for listed in (a, b))
    rows = []
    for i, file in enumerate(a.files):
        k = i % len(b.files)
        own = {"A": file} | ({_LABEL: labels[file]} if labels else {})
        rows.append(Row(pair_name(contents[i], styles[k]), own | {"B": b.files[k]}))
    return rows


def _open_whole(request: UnpairedRequest, options: Config, phase: str, rank: int, world: int) -> Pipeline:
    given, video = _given(options.input, "input") if options.input else (None, None)
    if options.test_pairs:
        styles = _given(options.style, "style")[0] if options.style else _files(options, "B", phase)
        rows = _paired_rows(given or _files(options, "A", phase), styles)
    elif given:
        rows = _rows(given, "B" if options.direction == "BtoA" else "A")
    else:
        domains = {"AtoB": "A", "BtoA": "B"}.get(options.direction, "AB")
        rows = [row for domain in domains for row in _rows(_files(options, domain, phase), domain)]
        counts = Counter(row.stem for row in rows)
        rows = [Row(row.stem + f"_{next(iter(row.files))}" * (counts[row.stem] > 1), row.files) for row in rows]
    reader = UnpairedReader(request, options, phase, rows, training=False)
    pipeline = open_pipeline(reader, options, rank, world, training=False)
    pipeline.video, pipeline.source = video, _title(options.input)
    pipeline.label_folder = options.label_root.replace("{phase}", phase)
    return pipeline


def _title(given: str) -> str:
    """What results of ``given`` are filed under: the name of a folder, or of a file without its suffix."""
    path = Path(given)
    return file_name(path.resolve().name if path.is_dir() else path.stem) if given else ""


def _given(text: str, option: str) -> tuple[_Listed, Video | None]:
    """The images of a file, folder, list or video on the command line."""
    path = Path(text)
    if path.is_dir():
        found = list_images(path)
        if not found:
            raise UserError(f"--{option} {path} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
        return _Listed(found, path), None
    if not path.exists():
        raise UserError(f"--{option} {path} does not exist: pass an image, a folder, a list (.txt) or a video")
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        video = Video(path)
        return _Listed(video.frames, video.frames[0].parent), video
    if path.suffix.lower() == ".txt":
        return _Listed(read_list(path, path.parent), path.parent), None
    return _Listed([path], path.parent), None


def _files(options: Config, domain: str, phase: str) -> _Listed:
    """All images of a domain, in the order of its list, or sorted."""
    root_option, list_option = _OPTIONS[domain]
    root = options[root_option].replace("{phase}", phase)
    list_file = options[list_option].replace("{phase}", phase)
    own_list = Path(options.data_root, f"{phase}{domain}.txt")
    if not (root or list_file) and own_list.is_file():
        list_file = str(own_list)
    if list_file:
        root = Path(root or options.data_root)
        return _Listed(read_list(list_file, root), root)
    folders = [Path(root)] if root else [Path(options.data_root, f"{phase}{s}{domain}") for s in ("", "_")]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise UserError(
            f"folder {folders[0]} does not exist: pass --data_root with a folder that holds {phase}A and "
            f"{phase}B, --{root_option} FOLDER, or --{list_option} FILE; "
            "data/create_gta2cityscapes_dataset.py makes them"
        )
    found = list_images(folder)
    if not found:
        raise UserError(f"folder {folder} holds no images ({', '.join(IMAGE_EXTENSIONS)})")
    return _Listed(found, folder)


def _label_files(options: Config, phase: str, images: _Listed) -> dict[Path, Path] | None:
    """The label map of each image of A, by name, where the options ask for label maps."""
    if not options.label_root:
        return None
    folder = Path(options.label_root.replace("{phase}", phase))
    labels = find_partners(*images, list_images(folder), folder)
    lacking = [file for file in images.files if file not in labels]
    if lacking:
        raise UserError(
            f"{folder} lacks the label maps of {len(lacking)} of {len(images.files)} images (first: "
            f"{lacking[0].name}): add them, or drop --label_root"
        )
    return labels


def geometry_of(request: UnpairedRequest, options: Config) -> Geometry:
    """What becomes of an image's size in training."""
    height, width = training_size(request, options)
    numbers = options.load_size, width, height, request.stride, options.scale_l, options.scale_h
    return Geometry("unpaired", options.resize_or_crop, *numbers)


def training_size(request: UnpairedRequest, options: Config) -> tuple[int, int]:
    """Height and width of training samples."""
    return options.crop_height or options.fine_size, options.crop_width or options.fine_size


def example(request: UnpairedRequest, batch_size: int, size: tuple[int, int], training: bool) -> dict[str, np.ndarray]:
    """A batch of zeros."""
    image, ids = np.zeros((batch_size, request.channels, *size), np.float32), np.zeros(batch_size, np.int32)
    batch = {"A": image, "B": image, "id_A": ids, "id_B": ids}
    return batch | ({_LABEL: np.zeros((batch_size, 1, *size), np.int32)} if request.labels else {})


def _examine(request: UnpairedRequest, options: Config, phase: str) -> Report:
    # here, because an examination is rare and reads what training does not
    from .check import examine_reader

    rows = [row for domain in "AB" for row in _rows(_files(options, domain, phase), domain)]
    return examine_reader(lambda: UnpairedReader(request, options, phase, rows, training=True), options)


UNPAIRED = DataKind(
    "unpaired",
    owners.UNPAIRED,
    UnpairedRequest,
    open_unpaired,
    _examine,
    training_size,
    example,
    whole={"input": "", "style": "", "test_pairs": False, "direction": "both"},
)
