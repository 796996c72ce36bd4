"""Paired data: a label map (or a picture) and the photo it belongs to, with instance maps and feature maps.

Folders under ``data_root``: ``{phase}_label`` (``{phase}_A`` when ``label_nc`` is 0), ``{phase}_inst``,
``{phase}_img`` (``{phase}_B``) and ``{phase}_feat``. Files pair by name.
"""

__all__ = ["PairedReader", "network_stride", "open_paired", "paired_folders"]

from pathlib import Path

import numpy as np

from src.dataset.folders import Row, find_unpaired, pair_folders
from src.dataset.opening import open_pipeline
from src.dataset.pipeline import Pipeline
from src.dataset.reader import Reader
from src.dataset.transforms import Geometry, resize_ids, resize_photo
from src.utils.errors import UserError
from src.utils.images import (
    image_to_unit,
    notice_once,
    read_image,
    read_instances,
    read_labels,
    verify_picture,
)

_HIGHEST_ID = 65535


def network_stride(config) -> int:
    """What both sides of a training sample must be divisible by: the generator's downsampling factor."""
    return 2**config.n_downsample_global * (2**config.n_local_enhancers if config.netG == "local" else 1)


def paired_folders(config, phase: str, training: bool) -> dict[str, Path]:
    """The folder of each column that the options need, in the order label, inst, image, feat.

    Photos are needed for training and with ``use_encoded_image``; otherwise they are used where they are
    there.

    Raises:
        UserError: ``data_root`` is missing, or options contradict each other.
    """
    _check_options(config)
    root = Path(config.data_root)
    if not root.is_dir():
        raise UserError(
            f"data_root {root} does not exist: pass --data_root with a folder that holds {phase}_label, "
            f"{phase}_inst and {phase}_img, or make one with data/create_pix2pixhd_dataset.py (Cityscapes) "
            "or "
            "data/create_street_scenes.py (procedural)"
        )
    source, target = ("label", "img") if config.label_nc else ("A", "B")
    folders = {"label": root / f"{phase}_{source}"}
    if not config.no_instance:
        folders["inst"] = root / f"{phase}_inst"
    photos = root / f"{phase}_{target}"
    if training or config.use_encoded_image or _usable_photos(folders["label"], photos):
        folders["image"] = photos
    if config.load_features:
        folders["feat"] = root / f"{phase}_feat"
    for column, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"folder {folder} does not exist: {_way_out(column, folder, config)}")
    return folders


def _check_options(config) -> None:
    if config.label_nc < 0:
        raise UserError(f"label_nc {config.label_nc} is negative: pass the number of classes, 0 for pictures")
    if config.label_nc == 0 and not config.no_instance:
        raise UserError(
            "label_nc 0 translates pictures to pictures, which have no instance maps (they would be "
            "resized and "
            "normalised like pictures): pass --no_instance True"
        )
    features = [name for name in ("instance_feat", "label_feat", "load_features") if getattr(config, name)]
    if config.label_nc == 0 and features:
        raise UserError(
            f"label_nc 0 translates pictures to pictures, which have no regions to pool features over: drop "
            f"{' and '.join(f'--{name}' for name in features)} or pass the number of classes as --label_nc"
        )
    if config.no_instance and (config.instance_feat or config.load_features):
        option = "instance_feat" if config.instance_feat else "load_features"
        raise UserError(f"{option} needs instance maps: drop --no_instance or --{option}")
    if config.load_features and config.feat_num not in (1, 3, 4):
        raise UserError(
            f"load_features reads feature maps from pictures, which hold 1, 3 or 4 channels, not feat_num "
            f"{config.feat_num}: pass --feat_num 3, or train without --load_features"
        )


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


def _way_out(column: str, folder: Path, config) -> str:
    if column == "inst":
        return "pass --no_instance True to do without instance maps"
    if column == "feat":
        return "make it with precompute_feature_maps.py, or pass --load_features False"
    if column == "image" and config.use_encoded_image:
        return "pass --use_encoded_image False to sample features instead of encoding photos"
    return f"check --data_root {config.data_root} and --phase"


class PairedReader(Reader):
    """Reads paired samples (see :class:`src.dataset.reader.Reader`).

    Columns of a sample: ``label`` int32 ``(1, H, W)`` below ``label_nc``, or float32 ``(input_nc, H, W)`` in
    [-1, 1] when ``label_nc`` is 0; ``inst`` int32 ``(1, H, W)``, relabelled to 0..K-1 in ascending order of
    the original ids; ``image`` float32 ``(output_nc, H, W)`` and ``feat`` float32 ``(feat_num, H, W)`` in
    [-1, 1]. Outside training also ``inst_id`` int32 ``(max_instances,)``: the original id of each
    relabelled one, then -1.

    Args:
        config: the options (attribute access).
        phase: prefix of the folders.
        training: samples are rounded, cropped and flipped as ``resize_or_crop`` says and must fit the network;
            otherwise they keep their resized size.
        rows: the samples, if they are known already.
    """

    kind = "paired"

    def __init__(self, config, phase: str, training: bool, rows: list[Row] | None = None):
        self.config, self.phase, self.training = config, phase, training
        folders = paired_folders(config, phase, training)
        self.rows: list[Row] = pair_folders(folders) if rows is None else rows
        limit = config.max_dataset_size
        limited = bool(limit) and limit < len(self.rows)
        if limited:
            self.rows = self.rows[: int(limit)]
        self.stored = tuple(folders)
        own_ids = () if training or "inst" not in folders else ("inst_id",)
        self.columns = (*self.stored, *own_ids)
        self.geometry = Geometry(config.resize_or_crop, config.load_size, config.fine_size, network_stride(config))
        self._may_flip = training and not config.no_flip
        self.settings = {"label_nc": config.label_nc, "stride": self.geometry.stride}
        self.settings |= {key: getattr(config, key) for key in self._size_options()}
        if "inst" in folders:
            self._allow_8bit = bool(getattr(config, "allow_8bit_instances", False))
            self.settings |= {"max_instances": config.max_instances, "allow_8bit_instances": self._allow_8bit}
        channels = {"label": 0 if config.label_nc else config.input_nc, "image": config.output_nc}
        channels["feat"] = config.feat_num
        self._channels = {name: channels[name] for name in self.stored if channels.get(name)}
        self.settings["channels"] = dict(self._channels)
        if limited:
            self.settings["max_dataset_size"] = len(self.rows)

    def _size_options(self) -> list[str]:
        options = ["resize_or_crop"]
        if self.geometry.mode not in ("none", "crop"):
            options.append("load_size")
        return options + (["fine_size"] if self.geometry.crops else [])

    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read, check and resize one sample's files; see :meth:`Reader.load`."""
        files = self.rows[index].files
        arrays = {}
        for name in self.stored:
            array = self._read(name, files[name])
            size = (array.shape[1], array.shape[0])
            if self.training and name == "label":
                self.geometry.check_divisible(*size, str(files[name]))
            resize = self.geometry.resized if self.training else self.geometry.resized_whole
            if name == "feat":  # computed at a lower resolution than the label map in some recipes
                target = arrays["label"].shape[1], arrays["label"].shape[0]
            else:
                target = resize(*size)
            is_photo = name == "image" or (name == "label" and not self.config.label_nc)
            arrays[name] = resize_photo(array, target) if is_photo else resize_ids(array, target)
            if arrays[name].shape[:2] != arrays["label"].shape[:2]:
                raise UserError(
                    f"{files[name]} ({size[0]}x{size[1]}) becomes {target[0]}x{target[1]}, but "
                    f"{files['label']} becomes {arrays['label'].shape[1]}x{arrays['label'].shape[0]}: the "
                    "files of "
                    "a sample must have one shape"
                )
        if "inst" in arrays:
            self._check_instances(arrays["inst"], files["inst"])
        return arrays

    def _read(self, name: str, path: Path) -> np.ndarray:
        if name == "label" and self.config.label_nc:
            labels = read_labels(path)
            self._check_labels(labels, path)
            return labels.astype(np.uint8 if self.config.label_nc <= 256 else np.uint16)
        if name == "inst":
            instances = read_instances(path, self._allow_8bit)
            if instances.max() > _HIGHEST_ID:
                raise UserError(
                    f"instance id {instances.max()} in {path} is above {_HIGHEST_ID}: renumber the instances"
                )
            return instances.astype(np.uint16)
        image = read_image(path, self._channels[name])
        return image[:, :, 0] if image.shape[2] == 1 else image

    def _check_labels(self, labels: np.ndarray, path: Path) -> None:
        highest = int(labels.max())
        if highest >= self.config.label_nc:
            remap = "remap it (255 often marks pixels without a label)" if highest == 255 else "remap it"
            raise UserError(
                f"label {highest} in {path} is not below label_nc {self.config.label_nc}: pass --label_nc "
                f"{highest + 1} or {remap}"
            )

    def _check_instances(self, instances: np.ndarray, path: Path) -> None:
        count = len(_distinct(instances))
        if count > self.config.max_instances:
            raise UserError(
                f"{path} holds {count} instances, more than max_instances {self.config.max_instances}: pass "
                f"--max_instances {1 << (count - 1).bit_length()}, or check that it is an instance map"
            )

    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width of the sample these arrays become."""
        height, width = arrays["label"].shape[:2]
        if self.training:
            width, height = self.geometry.cropped(width, height)
        return height, width

    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Crop, flip and normalise; see :meth:`Reader.sample`."""
        if rng is not None:
            height, width = arrays["label"].shape[:2]
            placement = self.geometry.draw(width, height, self._may_flip, rng)
            arrays = {name: self.geometry.place(array, placement) for name, array in arrays.items()}
        sample = {}
        for name, array in arrays.items():
            if name == "inst":
                sample["inst"], ids = _relabel(array)
                if "inst_id" in self.columns:
                    sample["inst_id"] = np.full(self.config.max_instances, -1, np.int32)
                    sample["inst_id"][: len(ids)] = ids
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
                    self._check_instances(resize_ids(ids, self.geometry.resized_whole(*size)), files[name])


def _distinct(ids: np.ndarray) -> np.ndarray:
    """Ascending distinct values of a uint16 array, without sorting its pixels."""
    present = np.zeros(_HIGHEST_ID + 1, bool)
    present[ids] = True
    return np.flatnonzero(present)


def _relabel(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ids = _distinct(instances)
    table = np.zeros(_HIGHEST_ID + 1, np.int32)
    table[ids] = np.arange(len(ids), dtype=np.int32)
    return table[instances][None], ids


def open_paired(config, phase: str, rank: int, world: int, training: bool) -> Pipeline:
    """Open paired data for training (from records) or for evaluation (from files, checked first).

    Raises:
        UserError: anything about the options or the files that would stop the run later.
    """
    reader = PairedReader(config, phase, training)
    return open_pipeline(reader, config, rank, world, training)
