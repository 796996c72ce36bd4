"""Unpaired data: two sets of pictures, A and B, that share nothing but their size after cropping.

Each set is a folder (``data_root/{phase}A`` and ``{phase}B``, or ``source_root`` and ``target_root``) or a list file
with one path a line (``data_root/{phase}A.txt`` and ``{phase}B.txt``, or ``source_list`` and ``target_list``), relative
to its root. ``{phase}`` in these options stands for the phase.
"""

__all__ = ["UnpairedPipeline", "UnpairedReader", "network_stride", "open_unpaired"]

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.dataset.crops import Cropper
from src.dataset.folders import Row, list_images, stem_of
from src.dataset.lists import read_list
from src.dataset.opening import open_pipeline
from src.dataset.pipeline import Batch, Pipeline
from src.dataset.reader import Reader
from src.dataset.transforms import resize_ids
from src.dataset.video import VIDEO_EXTENSIONS, Video
from src.utils.errors import UserError
from src.utils.images import (
    IMAGE_EXTENSIONS,
    image_to_unit,
    notice_once,
    read_image,
    read_labels,
    verify_picture,
)

_OPTIONS = {"A": ("source_root", "source_list"), "B": ("target_root", "target_list")}
_LABEL = "label_A"
# sets of equal size must not be shuffled alike
_OTHER_ORDER = 0x9E3779B1


class UnpairedReader(Reader):
    """Reads rows that hold a picture of A (with its label map, if there is one), of B, or one of each.

    Columns of a sample: ``A`` and ``B`` float32 ``(input_nc, H, W)`` in [-1, 1], cropped independently of
    each other; ``label_A`` int32 ``(1, H, W)``, cropped with A.

    Args:
        config: the options (attribute access).
        phase: name of the records.
        rows: the samples; rows may differ in what they hold, outside training.
        training: pictures are cropped and flipped to one size; otherwise they are whole.
    """

    kind = "unpaired"

    def __init__(self, config, phase: str, rows: list[Row], training: bool):
        if config.max_dataset_size:
            rows = rows[: int(config.max_dataset_size)]
        self.phase, self.rows, self.training = phase, rows, training
        self.columns = self.stored = tuple(dict.fromkeys(name for row in rows for name in row.files))
        self.channels = config.input_nc
        width = config.width or config.fine_size
        height = config.height or config.fine_size
        scales = config.scale_l, config.scale_h
        stride = network_stride(config)
        self.cropper = Cropper(config.resize_or_crop, config.load_size, width, height, *scales, stride)
        self.keeps_size = not training and config.eval_size == "original"
        self.flips = training and not config.no_flip, training and config.v_flip
        self.settings = {"channels": self.channels, **self.cropper.settings, "rows": _digest(rows)}

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
                raw = self.cropper.store(raw, str(source))
            elif not self.keeps_size:
                raw = self.cropper.whole(raw)
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
            # some published GTA5 label maps have another size than their picture
            notice_once("label size", f"label maps are resized to their picture's size (first: {path})")
        return resize_ids(labels, (image.shape[1], image.shape[0]))

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        if self.training and self.cropper.mode != "none":
            return self.cropper.height, self.cropper.width
        return next(iter(arrays.values())).shape[:2]

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Crop, flip and normalise; see :meth:`Reader.sample`."""
        sample = {}
        for group in self._groups(arrays):
            part = {n: arrays[n] if n == _LABEL else np.atleast_3d(arrays[n]) for n in group}
            if rng is not None:
                part = self.cropper.sample(part, *self.flips, rng)
            for name, array in part.items():
                if name == _LABEL:
                    sample[name] = array.astype(np.int32, order="C")[None]
                else:
                    sample[name] = image_to_unit(array)
        return sample

    def inspect(self, index: int) -> None:
        """Check pictures by their checksums only, because decoding them is slow."""
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
        """The stem of picture ``index`` of A."""
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


def network_stride(config) -> int:
    """What both sides of a training picture must be divisible by: CycleGAN's generators halve it twice."""
    return 4 if hasattr(config, "n_residual_blocks") else 1


def _digest(rows: list[Row]) -> str:
    """Which files a row holds: a list may order or pair the same files in another way."""
    text = "\n".join(str(path) for row in rows for path in row.files.values())
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def open_unpaired(config, phase: str, rank: int, world: int, training: bool) -> Pipeline | UnpairedPipeline:
    """Open unpaired data for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    if not training:
        return _open_whole(config, phase, rank, world)
    files = {domain: _files(config, domain, phase) for domain in "AB"}
    labels = _label_files(config, phase, files["A"])

    def opened(rows: list[Row], name: str, seed: int) -> Pipeline:
        reader = UnpairedReader(config, name, rows, training=True)
        return open_pipeline(reader, config, rank, world, training=True, seed=seed)

    if not config.random_pair:
        return opened(_paired_rows(files["A"], files["B"], labels), phase, config.seed)
    # lists repeat files to reach a length; shuffled passes over the distinct ones are the same distribution
    a, b = (list(dict.fromkeys(files[domain])) for domain in "AB")
    rows_a = [Row(stem_of(file), {"A": file} | ({_LABEL: labels[file]} if labels else {})) for file in a]
    rows_b = [Row(stem_of(file), {"B": file}) for file in b]
    return UnpairedPipeline(
        opened(rows_a, f"{phase}A", config.seed), opened(rows_b, f"{phase}B", config.seed + _OTHER_ORDER)
    )


def _paired_rows(a: list[Path], b: list[Path], labels: dict[Path, Path] | None = None) -> list[Row]:
    """Picture i of A with picture i of B, which starts again where it ends."""
    rows = []
    for i, file in enumerate(a):
        other = b[i % len(b)]
        own = {"A": file} | ({_LABEL: labels[file]} if labels else {})
        rows.append(Row(f"{file.name.split('.')[0]}_to_{other.name.split('.')[0]}", own | {"B": other}))
    return rows


def _open_whole(config, phase: str, rank: int, world: int) -> Pipeline:
    video, rows = None, []
    if config.input:
        files, video = _given(config.input, "input")
        column = "B" if getattr(config, "direction", "AtoB") == "BtoA" else "A"
    else:
        files, column = [], ""
    if config.test_pairs:
        styles = _given(config.style, "style")[0] if config.style else _files(config, "B", phase)
        rows = _paired_rows(files or _files(config, "A", phase), styles)
    elif files:
        rows = [Row(stem_of(file), {column: file}) for file in files]
    else:
        domains = {"AtoB": "A", "BtoA": "B"}.get(config.direction, "AB")
        found = {domain: _files(config, domain, phase) for domain in domains}
        rows = [Row(stem_of(file), {domain: file}) for domain, listed in found.items() for file in listed]
    reader = UnpairedReader(config, phase, rows, training=False)
    pipeline = open_pipeline(reader, config, rank, world, training=False)
    pipeline.video = video
    return pipeline


def _given(text: str, option: str) -> tuple[list[Path], Video | None]:
    """The pictures of a file, folder, list or video on the command line."""
    path = Path(text)
    if path.is_dir():
        found = list_images(path)
        if not found:
            raise UserError(f"--{option} {path} holds no pictures ({', '.join(IMAGE_EXTENSIONS)})")
        return found, None
    if not path.exists():
        raise UserError(f"--{option} {path} does not exist: pass a picture, a folder, a list (.txt) or a video")
    if path.suffix.lower() in VIDEO_EXTENSIONS:
        video = Video(path)
        return video.frames, video
    if path.suffix.lower() == ".txt":
        return read_list(path, path.parent), None
    return [path], None


def _files(config, domain: str, phase: str) -> list[Path]:
    """All pictures of a domain, in the order of its list, or sorted."""
    root_option, list_option = _OPTIONS[domain]
    root = getattr(config, root_option).replace("{phase}", phase)
    list_file = getattr(config, list_option).replace("{phase}", phase)
    own_list = Path(config.data_root, f"{phase}{domain}.txt")
    if not (root or list_file) and own_list.is_file():
        list_file = str(own_list)
    if list_file:
        return read_list(list_file, root or config.data_root)
    folders = [Path(root)] if root else [Path(config.data_root, f"{phase}{s}{domain}") for s in ("", "_")]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise UserError(
            f"folder {folders[0]} does not exist: pass --data_root with a folder that holds {phase}A and "
            f"{phase}B, --{root_option} FOLDER, or --{list_option} FILE; "
            "data/create_gta2cityscapes_dataset.py makes them"
        )
    found = list_images(folder)
    if not found:
        raise UserError(f"folder {folder} holds no pictures ({', '.join(IMAGE_EXTENSIONS)})")
    return found


def _label_files(config, phase: str, pictures: list[Path]) -> dict[Path, Path] | None:
    """The label map of each picture of A, by stem, where the options ask for label maps."""
    if not config.label_root:
        return None
    folder = Path(config.label_root.replace("{phase}", phase))
    by_stem = {stem_of(file): file for file in list_images(folder)}
    lacking = [file for file in pictures if stem_of(file) not in by_stem]
    if lacking:
        raise UserError(
            f"{folder} lacks the label maps of {len(lacking)} of {len(pictures)} pictures (first: "
            f"{lacking[0].name}): add them, or drop --label_root and choose --semantic none or frozen"
        )
    return {file: by_stem[stem_of(file)] for file in pictures}
