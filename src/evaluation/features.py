"""Encoding every training instance with a trained encoder: clusters to sample from, feature maps to train on."""

__all__ = ["precompute"]

import io
import json
from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.evaluation.run import TrainedRun, open_run
from src.evaluation.translate import pad_to_stride
from src.models.pix2pixhd.features import cluster_features, instance_table, paint_regions
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.images import read_instances, read_labels, unit_to_image, write_png
from src.utils.logging import get_logger
from src.utils.progress import track
from src.utils.runtime import start

_MARK = "precomputed.json"
_MAP_CHANNELS = (1, 3, 4)


def precompute(command: Config) -> int:
    """Encode all samples of ``command.phase``, cluster their instances, and write feature maps beside the labels.

    Writes ``features.npy`` and the cluster file to the run's folder and, unless ``only_clusters``, one picture for each
    label map to ``{phase}_feat``: 8 bits a channel, at the label map's own size.

    Raises:
        UserError: the run has no trained encoder, or ``{phase}_feat`` holds files of another origin.
    """
    say = get_logger().info
    command = command.replace(load_features=False, use_encoded_image=True)
    start(command, say)
    run = open_run(command)
    if not getattr(run.system, "uses_features", False) or "E" not in run.system.networks:
        raise UserError(
            f"{run.folder} has no trained encoder: train it first (scripts/train_512p_feat.sh, or --instance_feat True)"
        )
    config = run.config
    data = open_dataset(run.system.dataset, config, config.phase, training=False)
    maps = None if config.only_clusters else _map_folder(config, run)
    say(f"encoding {data.num_samples} samples of {config.phase} with checkpoint {run.tag} of {run.folder}")
    rows = []
    epochs = data.epochs(1)
    _, batches = next(epochs)
    for batch in track(batches, "encoding", total=data.num_samples):
        means, regions, labels = _encode(run, batch)
        rows.append(instance_table(means, regions, labels))
        if maps:
            _write_map(run, maps, data.files(int(batch["id"][0])), means, batch)
    features = np.concatenate(rows)
    clusters = cluster_features(features, config.n_clusters, config.seed)
    _save_table(run.folder / "features.npy", features)
    path = run.folder / config.cluster_path
    _save_table(path, clusters)
    classes = len(np.unique(clusters[:, 0]))
    say(f"{len(features)} instances; {len(clusters)} clusters of {classes} classes in {path}")
    if maps:
        say(f"feature maps in {maps}")
    return 0


def _encode(run: TrainedRun, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean feature of every region, with the HxW region and label maps, of one sample of any size."""
    means = run.system.encode_means(pad_to_stride(batch, run.system.stride))[0]
    label = batch["label"][0, 0]
    regions = label if run.config.label_feat else batch["inst"][0, 0]
    return means, regions, label


def _map_folder(config: Config, run: TrainedRun) -> Path:
    """Make ``{phase}_feat``, or take over one that this command made before."""
    if config.feat_num not in _MAP_CHANNELS:
        raise UserError(
            f"feature maps are pictures of 1, 3 or 4 channels, feat_num is {config.feat_num}: "
            "use --only_clusters True, or train with --feat_num 3"
        )
    folder = Path(config.data_root) / f"{config.phase}_feat"
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARK).is_file():
        raise UserError(f"{folder} holds files that were not made here: move them away, nothing was overwritten")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot write {folder} ({error.strerror}): copy the data to a folder you own, or use --only_clusters True"
        ) from None
    origin = {"run": str(run.folder), "checkpoint": run.tag, "feat_num": config.feat_num}
    atomic_write(folder / _MARK, json.dumps(origin, indent=1).encode())
    return folder


def _write_map(run: TrainedRun, folder: Path, files: dict[str, Path], means: np.ndarray, batch) -> None:
    """Paint the means over the regions of the original, unscaled map, so that their borders stay exact."""
    if run.config.label_feat:
        regions = read_labels(files["label"])
    else:
        ids = read_instances(files["inst"], run.config.allow_8bit_instances)
        known = batch["inst_id"][0]
        known = known[known >= 0]
        # an instance that the smaller map lost gets a row of zeros, the middle of the encoder's range
        regions = np.where(np.isin(ids, known), np.searchsorted(known, ids), len(known))
        means = np.concatenate([means[: len(known)], np.zeros((1, means.shape[1]))])
    picture = unit_to_image(paint_regions(means, regions))
    write_png(folder / f"{files['label'].stem}.png", picture)


def _save_table(path: Path, rows: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    atomic_write(path, buffer.getvalue())
