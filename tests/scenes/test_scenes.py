"""Procedural street scenes: valid ids, reproducible, photos that follow the labels."""

import colorsys
import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from src.imaging.palette import CITYSCAPES
from src.scenes.scenes import make_scene, write_scenes
from src.utils.errors import UserError
from tests.dataset.samples import reader

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scenes():
    return [make_scene([0, k], 128, 64) for k in range(12)]


def test_ids_are_those_of_cityscapes(scenes):
    for label, instance, photo in scenes:
        assert label.dtype == np.uint8 and instance.dtype == np.uint16 and photo.dtype == np.uint8
        assert label.shape == instance.shape == (64, 128) and photo.shape == (64, 128, 3)
        ids = instance.astype(int)
        np.testing.assert_array_equal(np.where(ids < 1000, ids, ids // 1000), label)
        # Only countable classes have numbered instances.
        things = set(label[ids >= 1000].tolist())
        assert things <= {24, 25, 26, 27, 28, 33} and not things & set(label[ids < 1000].tolist())
        assert label.max() < len(CITYSCAPES)
    used = set(np.concatenate([scene.label.ravel() for scene in scenes]).tolist())
    assert used >= {1, 7, 8, 11, 17, 20, 21, 22, 23, 24, 26}
    assert max(scene.instance.max() for scene in scenes) >= 26000


def test_streets_look_like_streets(scenes):
    for label, _, photo in scenes:
        assert 0.15 < (label == 7).mean() < 0.6, "road"
        rows = {name: np.nonzero(label == k)[0].mean() for name, k in (("road", 7), ("sky", 23)) if (label == k).any()}
        assert rows["road"] > 32 and rows.get("sky", 0) < 32
        assert photo.std() > 20
        assert len(np.unique(photo.reshape(-1, 3), axis=0)) > 1000


def test_classes_differ_in_colour_and_cars_among_each_other(scenes):
    colours = {k: [] for k in (7, 11, 21, 23)}
    cars = []
    for label, instance, photo in scenes:
        for k, found in colours.items():
            if (label == k).sum() > 50:
                found.append(photo[label == k].mean(axis=0))
        for car in np.unique(instance[label == 26]):
            if (instance == car).sum() > 150:
                cars.append(np.median(photo[instance == car], axis=0))
    means = [np.mean(found, axis=0) for found in colours.values()]
    assert min(np.abs(a - b).max() for i, a in enumerate(means) for b in means[:i]) > 10
    assert len(cars) > 5 and np.std(cars, axis=0).max() > 25


def test_same_seed_same_scene_and_styles_share_the_street():
    one, two, other = make_scene(5, 96, 64), make_scene(5, 96, 64), make_scene(6, 96, 64)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one.label != other.label).mean() > 0.1
    simulated = make_scene(5, 96, 64, "simulated")
    np.testing.assert_array_equal(simulated.instance, one.instance)
    difference = np.abs(simulated.photo.astype(int) - one.photo).mean()
    assert difference > 8


def test_trees_hide_the_sky_and_change_no_street_without_them():
    """The label maps of streets without tall trees are those that earlier versions drew."""
    open_, treed = (np.stack([make_scene([9, k], 64, 64, trees=t).label for k in range(6)]) for t in (0.0, 1.0))
    assert hashlib.sha256(open_.tobytes()).hexdigest().startswith("893df5b1ae435dd2")
    sky, vegetation = ([(labels == k).mean() for labels in (open_, treed)] for k in (23, 21))
    assert sky[1] < 0.3 * sky[0] and vegetation[1] > 2 * vegetation[0]
    with pytest.raises(UserError, match=r"trees 1\.5 is not from 0"):
        make_scene(0, 64, 64, trees=1.5)


def test_colourful_streets_differ_in_their_cars_alone(scenes):
    hues = []
    for k, (label, instance, photo) in enumerate(scenes):
        colourful = make_scene([0, k], 128, 64, "colourful")
        np.testing.assert_array_equal(colourful.instance, instance)
        # beside cars, the lens softens their edges
        around = cv2.dilate((label == 26).astype(np.uint8), np.ones((3, 3))) > 0
        np.testing.assert_array_equal(colourful.photo[~around], photo[~around])
        for car in np.unique(instance[label == 26]):
            if (instance == car).sum() > 60:
                red, green, blue = np.median(colourful.photo[instance == car], axis=0) / 255
                hues.append(colorsys.rgb_to_hsv(red, green, blue)[0])
    assert len(hues) > 10 and (np.histogram(hues, 6, (0, 1))[0] > 0).all()


@pytest.mark.parametrize("size", [(32, 32), (33, 97), (300, 40)])
def test_any_size(size):
    assert make_scene(1, *size).photo.shape == (size[1], size[0], 3)


def test_unknown_style_and_tiny_sizes():
    with pytest.raises(UserError, match="oil.*photo, simulated"):
        make_scene(0, 64, 64, "oil")
    with pytest.raises(UserError, match="64x8"):
        make_scene(0, 64, 8)


def test_written_scenes_are_a_data_set_and_are_never_overwritten(tmp_path):
    write_scenes(tmp_path, "train", 3, 64, 32)
    write_scenes(tmp_path, "test", 1, 64, 32)
    written = reader(tmp_path, max_instances=64, resize_or_crop="none")
    expected = make_scene([0, int.from_bytes(b"train", "little"), 2], 64, 32)
    loaded = written.load(2)
    for name, array in zip(("label", "inst", "image"), expected, strict=True):
        np.testing.assert_array_equal(loaded[name], array)
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.png"))
    with pytest.raises(UserError, match="train_label is not empty"):
        write_scenes(tmp_path, "train", 3, 64, 32, seed=1)
    assert sorted(path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")) == before


def test_command(tmp_path):
    command = [sys.executable, str(ROOT / "data/create_street_scenes.py"), str(tmp_path / "made")]
    sizes = ["--train", "3", "--test", "1", "--width", "64", "--height", "32", "--workers", "2", "--trees", "0.5"]
    done = subprocess.run([*command, *sizes], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    write_scenes(tmp_path / "here", "train", 3, 64, 32, trees=0.5)
    for path in (tmp_path / "here").rglob("*.png"):
        assert path.read_bytes() == (tmp_path / "made" / path.relative_to(tmp_path / "here")).read_bytes()
    assert len(list((tmp_path / "made" / "test_inst").iterdir())) == 1
    again = subprocess.run([*command, *sizes], capture_output=True, text=True, timeout=120)
    assert again.returncode == 2 and "not empty" in again.stderr and "Traceback" not in again.stderr
