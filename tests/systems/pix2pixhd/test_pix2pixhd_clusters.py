"""Styles on the host: means, the table of instances, clusters, drawing and painting."""

import zipfile

import numpy as np
import pytest

from src.systems.pix2pixhd.clusters import (
    FeatureClusters,
    cluster_features,
    instance_table,
    paint_regions,
    region_means,
)
from src.utils.errors import UserError
from src.utils.tables import load_table
from tests.systems.pix2pixhd.tiny_pix2pixhd import mean_model


def test_region_means_and_painting():
    rng = np.random.default_rng(3)
    feature_map, regions = rng.standard_normal((3, 6, 7)).astype(np.float32), rng.choice([0, 1, 3], (6, 7))
    means = region_means(feature_map, regions, 5)
    assert means.shape == (5, 3) and not means[[2, 4]].any()
    want = mean_model(feature_map[None], regions[None, None])[0]
    np.testing.assert_allclose(paint_regions(means, regions), want, atol=1e-6)
    assert paint_regions(means, regions).dtype == np.float32


def test_rows_of_the_feature_table():
    regions = np.array([[0, 0, 0, 0, 2, 2, 2, 2]] * 8)
    labels = np.array([[7, 7, 7, 7, 26, 26, 26, 26]] * 8)
    rows = instance_table(np.array([[0.5, -0.5], [9, 9], [0.25, 1]]), regions, labels)
    # 32 of 64 pixels are 16 units of a 32nd of the picture
    np.testing.assert_allclose(rows, [[7, 0.5, -0.5, 16], [26, 0.25, 1, 16]])


def disagreeing_maps():
    """An instance of 26 whose first pixel the label map gives to 11."""
    labels = np.full((8, 8), 11)
    labels[3:, 2:] = 26
    regions = np.where(labels == 26, 1, 0)
    regions[2, 4] = 1
    return regions, labels


def test_an_instance_has_the_class_of_most_of_its_pixels():
    regions, labels = disagreeing_maps()
    rows = instance_table(np.array([[0.5], [0.25]]), regions, labels)
    assert rows[:, 0].tolist() == [11, 26]
    clusters = FeatureClusters(np.array([[11, 0.1], [26, 0.9]]))
    drawn = clusters.sample(regions, labels, [1, 2])
    np.testing.assert_array_equal(drawn[0], np.where(regions, np.float32(0.9), np.float32(0.1)))


def table(*groups, share=1.0, seed=0):
    """Rows of ``features.npy``: ``(label, centre, count)`` with a little noise around the centre."""
    rng, rows = np.random.default_rng(seed), []
    for label, centre, count in groups:
        for _ in range(count):
            rows.append([label, *(np.array(centre) + rng.normal(0, 0.01, len(centre))), share])
    return np.array(rows)


def test_clusters_are_found_per_class_and_the_same_every_time():
    features = table((26, (0.5, 0.5), 20), (26, (-0.5, 0.5), 15), (26, (0, -0.7), 5), (7, (0.1, 0.1), 3))
    clusters = cluster_features(features, 3, seed=1)
    cars = clusters[clusters[:, 0] == 26, 1:]
    np.testing.assert_allclose(cars[np.lexsort(cars.round(1).T)], [[0, -0.7], [-0.5, 0.5], [0.5, 0.5]], atol=0.02)
    # no more centres than instances, which then are the centres
    roads = clusters[clusters[:, 0] == 7, 1:]
    np.testing.assert_allclose(roads, np.unique(features[-3:, 1:-1], axis=0))
    np.testing.assert_array_equal(cluster_features(features, 3, seed=1), clusters)
    # a class's clusters do not depend on which other classes there are
    np.testing.assert_array_equal(cluster_features(features[:40], 3, seed=1)[:, 1:], cars)


def test_small_instances_do_not_make_clusters():
    features = np.concatenate([table((7, (0.1, 0.1), 3), share=0.5), table((8, (0.2, 0.2), 3), share=0.51)])
    assert set(cluster_features(features, 2)[:, 0]) == {8}
    assert cluster_features(features[:3], 2).shape == (0, 3)


def test_equal_instances_and_a_single_cluster():
    features = np.array([[3, 0.5, 0.5, 1.0]] * 30)
    np.testing.assert_array_equal(cluster_features(features, 10), [[3, 0.5, 0.5]])
    features = table((3, (0.5, 0.5), 30))
    np.testing.assert_allclose(cluster_features(features, 1), [[3, *features[:, 1:-1].mean(0)]], rtol=1e-6)


def test_sampled_styles_are_one_a_region_and_zero_without_clusters():
    clusters = FeatureClusters(np.array([[26, 0.1, 0.2], [26, 0.3, 0.4], [26, -0.5, -0.6], [7, 0.9, 0.9]]))
    regions = np.repeat(np.arange(12), 2)[None].repeat(2, 0)
    labels = np.where(regions < 8, 26, np.where(regions < 10, 7, 11))
    styles = clusters.sample(regions, labels, [3, 4])
    assert styles.shape == (2, 2, 24) and styles.dtype == np.float32
    by_region = [np.unique(styles[:, regions == r], axis=1) for r in range(12)]
    assert all(values.shape == (2, 1) for values in by_region)
    values = np.concatenate(by_region, 1).T
    known = np.array([[0.1, 0.2], [0.3, 0.4], [-0.5, -0.6]], np.float32)
    assert all((known == value).all(1).any() for value in values[:8]) and len(np.unique(values[:8], axis=0)) > 1
    np.testing.assert_array_equal(values[8:10], np.float32([[0.9, 0.9]] * 2))
    assert not values[10:].any()
    np.testing.assert_array_equal(clusters.sample(regions, labels, [3, 4]), styles)
    assert (clusters.sample(regions, labels, [3, 5]) != styles).any()
    # a region keeps its style when others disappear
    part = clusters.sample(regions[:, :8], labels[:, :8], [3, 4])
    np.testing.assert_array_equal(part, styles[:, :, :8])


def test_tables_are_plain_arrays(tmp_path):
    path = tmp_path / "features.npy"
    with pytest.raises(UserError, match=r"features.npy does not exist: make it"):
        load_table(path, "make it")
    np.save(path, np.array({"label": 3}, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"features.npy is not a plain array .*pickled.*: make it"):
        load_table(path, "make it")
    for wrong in (np.zeros(3), np.zeros((2, 2), np.int64)):
        np.save(path, wrong)
        with pytest.raises(UserError, match=r"is not a table of features: make it"):
            load_table(path, "make it")
    for junk in (b"", b"\x93NUMPY", b"junk" * 100):
        path.write_bytes(junk)
        with pytest.raises(UserError, match=r"features.npy"):
            load_table(path, "make it")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match=r"features.npy"):
        load_table(path, "make it")
    np.save(path, np.array([[3, 0.5, 0.5]]))
    assert FeatureClusters.load(path, 2).by_label.keys() == {3}
    with pytest.raises(UserError, match=r"features.npy holds 2 features a style, feat_num is 3"):
        FeatureClusters.load(path, 3)
