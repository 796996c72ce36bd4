"""Paired data: a label map (or an image) and the photo it belongs to, with instance maps and feature maps.

Folders under ``data_root``: ``{phase}_label`` (``{phase}_A`` when ``label_nc`` is 0), ``{phase}_inst``, ``{phase}_img``
(``{phase}_B``), ``{phase}_feat`` and ``{phase}_real_ROWSxCOLUMNS``. Files pair by name.
"""

__all__ = ["PAIRED", "PairedReader", "PairedRequest", "paired_folders"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..imaging.flow import resize_flow
from ..imaging.images import (
    image_to_unit,
    notice_once,
    read_image,
    read_instances,
    read_labels,
    verify_picture,
)
from ..options.config import Config
from ..utils.errors import UserError
from . import owners
from .folders import Row, find_unpaired, pair_folders
from .frames import BEFORE, FLOW, flow_of, flow_to_planes, same_size, with_earlier
from .geometry import Geometry
from .id_maps import HIGHEST_ID, check_labels, instance_ids, relabel
from .kind import DataKind
from .opening import open_pipeline
from .pipeline import Pipeline
from .reader import Reader
from .report import Report
from .transforms import resize_ids, resize_photo


@dataclass(frozen=True)
class PairedRequest:
    """The paired data that a system needs.

    Attributes:
        stride: number that both sides of a training sample must be divisible by.
        label_nc: classes of the label maps; 0 where inputs are images.
        input_channels, output_channels: channels of input images and of photos.
        instances: whether there are instance maps.
        regions: regions that features are pooled over: ``instances``, ``labels``, or empty without features.
        feature_channels: channels of the feature maps to read; 0 reads none.
        real_grid: rows and columns of patches in the images of ``{phase}_real_ROWSxCOLUMNS`` to read; empty reads none.
        needs_image: photos are needed, in evaluation too.
        of_frame_before: columns that are needed of the frame before, too, where samples are frames of videos that are
            compared along optical flow.
        ways_out: for a column, what to do where its folder is missing.
    """

    stride: int
    label_nc: int
    input_channels: int = 3
    output_channels: int = 3
    instances: bool = True
    regions: str = ""
    feature_channels: int = 0
    real_grid: tuple[int, ...] = ()
    needs_image: bool = False
    of_frame_before: tuple[str, ...] = ()
    ways_out: Mapping[str, str] = field(default_factory=dict)


def paired_folders(request: PairedRequest, options: Config, phase: str, training: bool) -> dict[str, Path]:
    """The folder of each column that is needed, in the order label, inst, image, feat, real.

    Photos are needed for training and where the request says so; otherwise they are used if they exist.

    Raises:
        UserError: ``data_root`` or a folder is missing.
    """
    root = Path(options.data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root {root} does not exist: pass --data_root with a folder that holds {phase}_label, {phase}_inst "
            f"and {phase}_img, or make one with data/create_pix2pixhd_dataset.py (Cityscapes) or "
            "data/create_street_scenes.py (procedural)"
        )
    source, target = ("label", "img") if request.label_nc else ("A", "B")
    folders = {"label": root / f"{phase}_{source}"}
    if request.instances:
        folders["inst"] = root / f"{phase}_inst"
    photos = root / f"{phase}_{target}"
    if training or request.needs_image or _usable_photos(folders["label"], photos):
        folders["image"] = photos
    if request.feature_channels:
        folders["feat"] = root / f"{phase}_feat"
    if request.real_grid:
        folders["real"] = root / f"{phase}_real_{'x'.join(map(str, request.real_grid))}"
    for column, folder in folders.items():
        if not folder.is_dir():
            way_out = request.ways_out.get(column, f"check --data_root {options.data_root} and --phase")
            raise UserError(f"folder {folder} does not exist: {way_out}")
    return folders


def _usable_photos(labels: Path, photos: Path) -> bool:
    """Whether optional photos can be shown beside the results."""
    if not (labels.is_dir() and photos.is_dir()):
        return False
    try:
        unpaired = find_unpaired({"label": labels, "image": photos})
    except UserError:
        return False
    if unpaired:
        notice_once(str(photos), f"{photos} does not pair with {labels} and is left out of the results")
    return not unpaired


class PairedReader(Reader):
    """Reads paired samples (see :class:`src.dataset.reader.Reader`).

    Columns of a sample: ``label`` int32 ``(1, H, W)`` below ``label_nc``, or float32 ``(input_nc, H, W)`` in [-1, 1]
    when ``label_nc`` is 0; ``inst`` int32 ``(1, H, W)``, relabelled to 0..K-1 in ascending order of the original ids;
    ``image`` and ``real`` float32 ``(output_nc, H, W)`` and ``feat`` float32 ``(feat_num, H, W)`` in [-1, 1]. Outside
    training also ``inst_id`` int32 ``(max_instances,)``: the original id of each relabelled one, then -1. With frames
    before also their columns, ``label_before`` and so on, and ``flow`` float32 ``(3, H, W)``, see
    :func:`src.dataset.frames.flow_to_planes`.

    Args:
        request: the data that the system needs.
        options: options of paired data.
        phase: prefix of the folders.
        training: samples are rounded, cropped and flipped as ``resize_or_crop`` says and must fit the network;
            otherwise they keep their resized size.
        rows: the samples, if they are known already.
    """

    kind = "paired"

    def __init__(
        self, request: PairedRequest, options: Config, phase: str, training: bool, rows: list[Row] | None = None
    ):
        self.request, self.options, self.phase, self.training = request, options, phase, training
        folders = paired_folders(request, options, phase, training)
        self.rows: list[Row] = pair_folders(folders) if rows is None else rows
        earlier = request.of_frame_before
        if earlier:
            # photos, because flow is searched for in them
            columns = tuple(dict.fromkeys((*earlier, "image")))
            self.rows = with_earlier(self.rows, "label", columns, Path(options.data_root, f"{phase}_flow"))
        limit = options.max_dataset_size
        limited = bool(limit) and limit < len(self.rows)
        if limited:
            self.rows = self.rows[:limit]
        self.stored = (*folders, *(name + BEFORE for name in earlier), *((FLOW,) if earlier else ()))
        own_ids = () if training or "inst" not in folders else ("inst_id",)
        self.columns = (*self.stored, *own_ids)
        window = options.fine_size, options.fine_size
        self.geometry = Geometry("paired", options.resize_or_crop, options.load_size, *window, request.stride)
        self._may_flip = training and not options.no_flip
        self.settings = {"label_nc": request.label_nc, **self.geometry.settings}
        if "inst" in folders:
            self._allow_8bit = options.allow_8bit_instances
            self.settings |= {"max_instances": options.max_instances, "allow_8bit_instances": self._allow_8bit}
        channels = {"label": 0 if request.label_nc else request.input_channels, "image": request.output_channels}
        channels |= {"feat": request.feature_channels, "real": request.output_channels}
        self._channels = {name: channels[name] for name in folders if channels.get(name)}
        self.settings["channels"] = dict(self._channels)
        self._channels |= {name + BEFORE: self._channels[name] for name in earlier if name in self._channels}
        if limited:
            self.settings["max_dataset_size"] = len(self.rows)

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read, check and resize one sample's files; see :meth:`Reader.load`."""
        files = self.rows[index].files
        arrays: dict[str, np.ndarray] = {}
        read: dict[str, np.ndarray] = {}
        for name in self.stored:
            array = read[name] = self._flow(files, read) if name == FLOW else self._read(name, files[name])
            if name == "label" + BEFORE:
                same_size(read["label"], files["label"], array, files[name])
            size = (array.shape[1], array.shape[0])
            if self.training and name == "label":
                self.geometry.check(*size, str(files[name]))
            resize = self.geometry.resized if self.training else self.geometry.resized_whole
            column = name.removesuffix(BEFORE)
            if column == "feat":  # computed at a lower resolution than the label map in some recipes
                target = arrays["label"].shape[1], arrays["label"].shape[0]
            else:
                target = resize(*size)
            if name == FLOW:
                arrays[name] = resize_flow(array, target)
            else:
                is_photo = column in ("image", "real") or (column == "label" and not self.request.label_nc)
                arrays[name] = resize_photo(array, target) if is_photo else resize_ids(array, target)
            if arrays[name].shape[:2] != arrays["label"].shape[:2]:
                raise UserError(
                    f"{files[name]} ({size[0]}x{size[1]}) becomes {target[0]}x{target[1]}, but "
                    f"{files['label']} becomes {arrays['label'].shape[1]}x{arrays['label'].shape[0]}: the files of a "
                    "sample must have one shape"
                )
        for name in ("inst", "inst" + BEFORE):
            if name in arrays:
                instance_ids(arrays[name], self.options.max_instances, str(files[name]))
        return arrays

    def _flow(self, files: Mapping[str, Path], read: Mapping[str, np.ndarray]) -> np.ndarray:
        searched = () if FLOW in files else (self._read("image", files["image" + BEFORE]), read["image"])
        return flow_of(files, "label", read["label"], searched)

    def _read(self, name: str, path: Path) -> np.ndarray:
        name = name.removesuffix(BEFORE)
        if name == "label" and self.request.label_nc:
            labels = read_labels(path)
            check_labels(labels, self.request.label_nc, str(path))
            return labels.astype(np.uint8 if self.request.label_nc <= 256 else np.uint16)
        if name == "inst":
            instances = read_instances(path, self._allow_8bit)
            if instances.max() > HIGHEST_ID:
                raise UserError(
                    f"instance id {instances.max()} in {path} is above {HIGHEST_ID}: renumber the instances"
                )
            return instances.astype(np.uint16)
        image = read_image(path, self._channels[name])
        return image[:, :, 0] if image.shape[2] == 1 else image

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        height, width = arrays["label"].shape[:2]
        if self.training:
            width, height = self.geometry.cropped(width, height)
        return height, width

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Crop, flip and normalise; see :meth:`Reader.sample`."""
        if rng is not None:
            arrays = self.geometry.sample(arrays, self._may_flip, False, rng)
        sample = {}
        for name, array in arrays.items():
            if name == "inst":
                sample["inst"], ids = relabel(array, self.options.max_instances, "the instance map")
                if "inst_id" in self.columns:
                    sample["inst_id"] = np.full(self.options.max_instances, -1, np.int32)
                    sample["inst_id"][: len(ids)] = ids
            elif name == "inst" + BEFORE:
                sample[name], _ = relabel(array, self.options.max_instances, "the instance map of the frame before")
            elif name == FLOW:
                sample[name] = flow_to_planes(array)
            elif name in self._channels:
                sample[name] = image_to_unit(array.reshape(*array.shape[:2], -1))
            else:
                sample[name] = array.astype(np.int32, order="C")[None]
        return sample

    def inspect(self, index: int) -> None:
        """Check one sample: ids completely, photos by their checksums only, because decoding them is slow."""
        files = self.rows[index].files
        for name in self.stored:
            if name in self._channels:
                verify_picture(files[name])
            else:
                ids = self._read(name, files[name])
                if name == "inst":
                    size = ids.shape[1], ids.shape[0]
                    resized = resize_ids(ids, self.geometry.resized_whole(*size))
                    instance_ids(resized, self.options.max_instances, str(files[name]))


def open_paired(request: PairedRequest, options: Config, phase: str, rank: int, world: int, training: bool) -> Pipeline:
    """Open paired data for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    reader = PairedReader(request, options, phase, training)
    return open_pipeline(reader, options, rank, world, training)


def _reads(request: PairedRequest, options: Config, phase: str) -> Reader:
    return PairedReader(request, options, phase, training=True)


def _count(request: PairedRequest, options: Config, phase: str) -> int:
    return len(_reads(request, options, phase).rows)


def training_size(request: PairedRequest, options: Config) -> tuple[int, int]:
    """Height and width of training samples; images whose shape the files decide are taken to be 1:2."""
    if options.resize_or_crop == "none":
        return 1024, 2048
    if options.resize_or_crop == "scale_width":
        return options.load_size // 2, options.load_size
    return options.fine_size, options.fine_size


def example(request: PairedRequest, batch_size: int, size: tuple[int, int], training: bool) -> dict[str, np.ndarray]:
    """A batch of zeros."""

    def zeros(channels: int, dtype: type = np.float32) -> np.ndarray:
        return np.zeros((batch_size, channels, *size), dtype)

    batch = {"label": zeros(1, np.int32) if request.label_nc else zeros(request.input_channels)}
    batch["id"] = np.zeros(batch_size, np.int32)
    if request.instances:
        batch["inst"] = zeros(1, np.int32)
    if training or request.needs_image:
        batch["image"] = zeros(request.output_channels)
    if request.feature_channels and training:
        batch["feat"] = zeros(request.feature_channels)
    if request.real_grid and training:
        batch["real"] = zeros(request.output_channels)
    if request.of_frame_before:
        batch |= {name + BEFORE: batch[name] for name in request.of_frame_before} | {FLOW: zeros(3)}
    return batch


def _examine(request: PairedRequest, options: Config, phase: str) -> Report:
    # here, because an examination is rare and reads what training does not
    from .check_paired import examine

    return examine(request, options, phase)


PAIRED = DataKind("paired", owners.PAIRED, PairedRequest, open_paired, _examine, _count, training_size, example, _reads)
