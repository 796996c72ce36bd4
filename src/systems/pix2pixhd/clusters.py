"""Instance styles on the host: collecting, clustering, sampling and painting them (Wang et al. 2018, section 3.4).

Both files are plain 2-D arrays, readable without pickle. ``features.npy``: one row an instance, [label, feature values,
area in units of 1/32 of the image]. Cluster file: one row a centre, [label, feature values].
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

from ...imaging.regions import region_labels
from ...utils.errors import UserError
from ...utils.tables import load_table

# an instance counts for clustering above half a unit of 1/32 of the image
_MIN_AREA = 0.5
_AREA_UNIT = 32
# restarts of k-means, of which the one with the smallest error is kept: sklearn's default at the time of publication
_RESTARTS = 10


def paint_regions(table: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """(K, C) values and an HxW map of ids below K to a float32 (C, H, W) map."""
    return np.ascontiguousarray(table.astype(np.float32)[regions].transpose(2, 0, 1))


def region_means(feature_map: np.ndarray, regions: np.ndarray, count: int) -> np.ndarray:
    """Mean of a (C, H, W) map over each of ``count`` regions of an HxW id map: (count, C), zero for empty ones."""
    flat = regions.reshape(-1)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    return np.stack([np.bincount(flat, c.reshape(-1), count) / pixels for c in feature_map.astype(np.float64)], 1)


def instance_table(means: np.ndarray, regions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Rows of ``features.npy`` for one image: (instances, 1 + C + 1) from (K, C) means and HxW maps of ids."""
    classes, pixels = region_labels(regions, labels, len(means))
    present = np.flatnonzero(pixels)
    area = pixels[present] / (regions.size // _AREA_UNIT)
    return np.concatenate([classes[present, None], means[present], area[:, None]], 1)


def cluster_features(features: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    """k-means per class over the instances that cover more than 1/64 of their image.

    Args:
        features: (n, 1 + C + 1) rows of ``features.npy``.
        n_clusters: largest number of centres a class; a class with fewer instances gets one centre for each.
        seed: seed of the first centres.

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
    best, best_cost = distinct, np.inf
    for _ in range(_RESTARTS):
        centres, assigned = kmeans2(values, n_clusters, minit="++", seed=rng, missing="warn")
        cost = float(((values - centres[assigned]) ** 2).sum())
        if cost < best_cost:
            best, best_cost = centres[np.unique(assigned)], cost
    return best


class FeatureClusters:
    """Cluster centres by class; styles are drawn from them when there is no image to encode."""

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

    def styles(self, label: int) -> np.ndarray:
        """The centres of a class, (k, feat_num); k may be 0."""
        return self.by_label.get(int(label), np.zeros((0, self.feat_num)))

    def draw(self, classes: np.ndarray, seed: list[int]) -> np.ndarray:
        """One style for each of K regions of these ``classes``: float32 (K, feat_num).

        The draw of a region depends on ``seed``, its class and its place alone. Classes without clusters get zero, the
        middle of the encoder's range.
        """
        table = np.zeros((len(classes), self.feat_num), np.float32)
        for region, label in enumerate(classes):
            styles = self.styles(label)
            if len(styles):
                table[region] = styles[np.random.default_rng([*seed, region]).integers(len(styles))]
        return table

    def sample(self, regions: np.ndarray, labels: np.ndarray, seed: list[int]) -> np.ndarray:
        """Draw one style a region, see :meth:`draw`: HxW ids and labels to (feat_num, H, W)."""
        classes, _ = region_labels(regions, labels, int(regions.max()) + 1)
        return paint_regions(self.draw(classes, seed), regions)
