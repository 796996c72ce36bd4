"""Instance styles on the host: collecting, clustering, sampling and painting them (Wang et al. 2018, section 3.4).

Both files are plain 2-D arrays, readable without pickle. ``features.npy``: one row an instance, [label, feature
values, share of 1/32 of the image]. Cluster file: one row a centre, [label, feature values].
"""

__all__ = [
    "FeatureClusters",
    "cluster_features",
    "instance_table",
    "paint_regions",
    "region_means",
]

from pathlib import Path

import numpy as np
from scipy.cluster.vq import kmeans2

from src.utils.errors import UserError
from src.utils.tables import load_table

# an instance counts for clustering above half a unit of 1/32 of the image
_MIN_AREA = 0.5
_AREA_UNIT = 32
# restarts of k-means, of which the tightest is kept: sklearn's default when the published code was written
_RESTARTS = 10


def paint_regions(table: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(K, C) values and an HxW map of ids below K to a float32 (C, H, W) map."""
    return np.ascontiguousarray(table.astype(np.float32)[regions].transpose(2, 0, 1))


def region_means(feature_map: np.ndarray, regions: np.ndarray, count: int) -> np.ndarray:
    """Mean of a (C, H, W) map over each of ``count`` regions of an HxW id map: (count, C), zero for empty ones."""
    flat = regions.reshape(-1)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    return np.stack([np.bincount(flat, c.reshape(-1), count) / pixels for c in feature_map.astype(np.float64)], 1)


def _region_labels(regions: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Label at the first pixel of every region, and the regions' pixel counts."""
    flat = regions.reshape(-1)
    region_label = np.zeros(count, np.int64)
    region_label[flat[::-1]] = labels.reshape(-1)[::-1]
    return region_label, np.bincount(flat, minlength=count)


def instance_table(means: np.ndarray, regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows of ``features.npy`` for one picture: (instances, 1 + C + 1) from (K, C) means and HxW maps of ids."""
    region_label, pixels = _region_labels(regions, labels, len(means))
    present = np.flatnonzero(pixels)
    share = pixels[present] / (regions.size // _AREA_UNIT)
    return np.concatenate([region_label[present, None], means[present], share[:, None]], 1)


def cluster_features(features: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    """k-means per class over the instances that cover more than 1/64 of their picture.

    Args:
        features: (n, 1 + C + 1) rows of ``features.npy``.
        n_clusters: at most this many centres a class; a class with fewer instances gets one centre for each.
    Returns:
        (m, 1 + C) rows [label, centre], sorted by label; classes without large instances have none.
    """
    rows = []
    large = features[features[:, -1] > _MIN_AREA]
    for label in np.unique(large[:, 0]).astype(int):
        values = large[large[:, 0] == label, 1:-1]
        centres = _kmeans(values, n_clusters, np.random.default_rng([seed, label]))
        rows.append(np.concatenate([np.full((len(centres), 1), label), centres], 1))
    return np.concatenate(rows) if rows else np.zeros((0, features.shape[1] - 1))


def _kmeans(values: np.ndarray, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    distinct = np.unique(values, axis=0)
    if len(distinct) <= n_clusters:
        return distinct
    best, best_cost = None, np.inf
    for _ in range(_RESTARTS):
        centres, assigned = kmeans2(values, n_clusters, minit="++", seed=rng, missing="warn")
        cost = float(((values - centres[assigned]) ** 2).sum())
        if cost < best_cost:
            best, best_cost = centres[np.unique(assigned)], cost
    return best


class FeatureClusters:
    """Styles by class, to draw from when there is no image to encode."""

    def __init__(self, rows: np.ndarray):
        self.by_label = {int(label): rows[rows[:, 0] == label, 1:] for label in np.unique(rows[:, 0])}
        self.feat_num = rows.shape[1] - 1

    @classmethod
    def load(cls, path: Path, feat_num: int) -> "FeatureClusters":
        """Read a cluster file.

        Raises:
            UserError: missing, pickled, or of another number of features.
        """
        rows = load_table(path, "make it with precompute_feature_maps.py")
        if rows.shape[1] - 1 != feat_num:
            raise UserError(f"{path} holds {rows.shape[1] - 1} features a style, feat_num is {feat_num}")
        return cls(rows)

    def sample(self, regions: np.ndarray, labels: np.ndarray, seed: list[int]) -> np.ndarray:
        """Draw one style a region: HxW ids and labels to (feat_num, H, W).

        The draw of a region depends on ``seed`` and the region's id alone. Classes without clusters get zero, the
        middle of the encoder's range.
        """
        count = int(regions.max()) + 1
        region_label, pixels = _region_labels(regions, labels, count)
        table = np.zeros((count, self.feat_num), np.float32)
        for region in np.flatnonzero(pixels):
            styles = self.by_label.get(int(region_label[region]))
            if styles is not None:
                table[region] = styles[np.random.default_rng([*seed, int(region)]).integers(len(styles))]
        return paint_regions(table, regions)
