"""Encoding every training instance with a trained encoder: clusters to draw from, feature maps to train on."""

__all__ = ["precompute"]

import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...dataset.folders import repeats_in_folders
from ...dataset.paired import PAIRED, PairedReader, PairedRequest
from ...imaging.images import read_instances, read_labels, unit_to_image, write_png
from ...inference.model import Batch
from ...inference.padding import pad_batch
from ...models.parameters import state_arrays
from ...options.config import Config
from ...utils.errors import UserError
from ...utils.files import atomic_write, explain_os_error
from ...utils.logging import get_logger
from ...utils.progress import compiling, track
from ...utils.tables import load_table
from ...utils.text import counted
from .calls import PairedModel
from .clusters import cluster_features, instance_table, paint_regions
from .companions import cluster_file
from .products import Product, digest, read_record

_MARK = "precomputed.json"
_MAP_CHANNELS = (1, 3, 4)
# options that change what the encoder returns, besides its weights and those of the data
_OPTIONS = ("label_feat", "n_downsample_E", "norm", "layers", "batch_statistics", "encode_load_size", "precision")


def precompute(model: PairedModel, config: Config) -> int:
    """Encode all samples of ``phase``, cluster their instances, and write feature maps beside the labels.

    Writes ``features.npy`` and the cluster file to the run's folder and, unless ``only_clusters``, one image for each
    label map to ``{phase}_feat``: 8 bits a channel, at the label map's own size. Results of the same encoder, options
    and files are kept, and so is a file of styles that was not made here.

    Raises:
        UserError: the run has no trained encoder, or ``{phase}_feat`` holds files of another origin.
    """
    say, system = get_logger().info, model.system
    if not (system.uses_features and "E" in system.networks):
        raise UserError(
            f"{model.folder} has no trained encoder: train it first (scripts/train_512p_feat.sh, or "
            "--instance_feat True)"
        )
    request = replace(system.request(config, training=False), needs_image=True)
    reader = PairedReader(request, config.part(*PAIRED.owners), config.phase, training=False)
    inputs = _fingerprint(model, reader)
    features = Product(model.folder / "features.npy", {"inputs": inputs})
    clusters = Product(
        cluster_file(config, model.folder),
        {"inputs": inputs, "n_clusters": config.n_clusters, "seed": config.cluster_seed},
    )
    maps = None if config.only_clusters else _FeatureMaps(model, reader, inputs)
    makes_maps = maps is not None and not maps.are_current
    makes_clusters = clusters.may_be_written and not clusters.is_current
    if makes_maps or (makes_clusters and not features.is_current):
        rows = _encode_all(model, request, maps if makes_maps else None)
        if features.may_be_written:
            features.write(_table(rows))
    elif makes_clusters:
        rows = load_table(features.path, "remove it, so that it is made again")
    if makes_clusters:
        found = cluster_features(rows, config.n_clusters, config.cluster_seed)
        clusters.write(_table(found))
        classes = len(np.unique(found[:, 0]))
        say(
            f"{counted(len(rows), 'instance')}; {counted(len(found), 'cluster')} of "
            f"{counted(classes, 'class', 'classes')} in {clusters.path}"
        )
    elif clusters.is_current:
        say(f"clusters of {config.phase} in {clusters.path} are up to date")
    else:
        say(f"{clusters.path} was not made here, or was changed, and is kept: move it away to have clusters made")
    if maps:
        say(f"feature maps in {maps.folder}" + ("" if makes_maps else " are up to date"))
    return 0


def _fingerprint(model: PairedModel, reader: PairedReader) -> str:
    """A text that changes with the encoder, the options and the files that features depend on."""
    weights = hashlib.sha256()
    for name, array in sorted(state_arrays(model.system.networks["E"]).items()):
        weights.update(name.encode() + array.tobytes())
    root, files = model.config.data_root, {}
    for path in (path for row in reader.rows for path in row.files.values()):
        try:
            status = path.stat()
        except OSError as error:
            raise explain_os_error(error, path, "read") from error
        files[os.path.relpath(path, root)] = [status.st_size, status.st_mtime_ns]
    # a static size, which affects only the memory
    settings = {key: value for key, value in reader.settings.items() if key != "max_instances"}
    options = {key: model.config[key] for key in _OPTIONS}
    return digest([weights.hexdigest(), reader.phase, settings, options, files])


def _encode_all(model: PairedModel, request: PairedRequest, maps: "_FeatureMaps | None") -> np.ndarray:
    """The rows of ``features.npy``; writes ``maps`` on the way, where there are any to write."""
    data = PAIRED.open(request, model.config, model.config.phase, training=False)
    get_logger().info(
        f"encoding {counted(data.num_samples, 'sample')} of {model.config.phase} with checkpoint {model.tag} of "
        f"{model.folder}"
    )
    if maps:
        maps.begin()
    rows, system = [], model.system
    # keep a reference, because the batches end when it is garbage collected
    epochs = data.epochs(1)
    _, batches = next(epochs)
    first = compiling(model.config.mode, ["E"])
    for batch in track(batches, "encoding", total=data.num_samples, unit="images", first=first):
        means = system.encode_means(pad_batch(batch, system.stride, system.smallest))[0]
        rows.append(instance_table(means, system.region_map(batch)[0, 0], batch["label"][0, 0]))
        if maps:
            maps.write(data.files(int(batch["id"][0])), means, batch)
    if maps:
        maps.finish()
    return np.concatenate(rows)


class _FeatureMaps:
    """The folder ``{phase}_feat``, with a record of what its images were made from.

    Raises:
        UserError: styles have a number of values that no image has, or the folder holds files of another origin.
    """

    def __init__(self, model: PairedModel, reader: PairedReader, inputs: str):
        config = self.config = model.config
        if config.feat_num not in _MAP_CHANNELS:
            raise UserError(
                f"feature maps are images of 1, 3 or 4 channels, feat_num is {config.feat_num}: use "
                "--only_clusters True, or train with --feat_num 3"
            )
        self.labels, self.folder = (Path(config.data_root, f"{reader.phase}_{name}") for name in ("label", "feat"))
        self._files = [row.files["label"] for row in reader.rows]
        self._in_folders = repeats_in_folders(self._files)
        self._origin = {"run": str(model.folder), "checkpoint": model.tag, "feat_num": config.feat_num}
        self._inputs, self._mark = inputs, self.folder / _MARK
        if self.folder.is_dir() and any(self.folder.iterdir()) and not self._mark.is_file():
            raise UserError(
                f"{self.folder} holds files that were not made here: move them away, nothing was overwritten"
            )

    def _path(self, label: Path) -> Path:
        """The path of a label map's feature map: by its name, or by folder and name where names repeat."""
        inside = Path(os.path.relpath(label, self.labels)).parent if self._in_folders else Path()
        return self.folder / inside / f"{label.stem}.png"

    @property
    def are_current(self) -> bool:
        """Whether all maps exist and are up to date."""
        made = read_record(self._mark).get("made_from") == self._inputs
        return made and all(self._path(label).is_file() for label in self._files)

    def begin(self) -> None:
        """Make the folder; until :meth:`finish` its maps do not count as made, so that an interruption is made good."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write {self.folder} ({error.strerror}): copy the data to a folder you own, or use "
                "--only_clusters True"
            ) from None
        atomic_write(self._mark, json.dumps(self._origin, indent=1))

    def finish(self) -> None:
        """Mark the maps as complete."""
        atomic_write(self._mark, json.dumps(self._origin | {"made_from": self._inputs}, indent=1))

    def write(self, files: dict[str, Path], means: np.ndarray, batch: Batch) -> None:
        """Paint the means over the regions of the original, unscaled map, so that their borders stay exact."""
        if self.config.label_feat:
            regions = read_labels(files["label"])
        else:
            ids = read_instances(files["inst"], self.config.allow_8bit_instances)
            known = batch["inst_id"][0]
            known = known[known >= 0]
            # an instance that the smaller map lost gets a row of zeros, the middle of the encoder's range
            regions = np.where(np.isin(ids, known), np.searchsorted(known, ids), len(known))
            means = np.concatenate([means[: len(known)], np.zeros((1, means.shape[1]))])
        write_png(self._path(files["label"]), unit_to_image(paint_regions(means, regions)))


def _table(rows: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    return buffer.getvalue()
