"""pix2pixHD from Python where label and instance maps disagree, and at the smallest sizes."""

import numpy as np
import pytest

from src import load
from tests.saved_runs import save_clusters, save_run

WALL, CAR = 11, 26


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = save_run(tmp_path_factory.mktemp("runs"), "feat")
    save_clusters(run)
    return load(run, device_target="CPU", mode="pynative")


def maps():
    """A car whose first row the label map gives to the wall, as a resized pair may."""
    label = np.full((16, 24), WALL)
    label[4:12, 5:20] = CAR
    inst = np.where(label == CAR, 26001, WALL)
    label[4, 5:20] = WALL
    return label, inst


def test_the_number_of_a_style_is_one_of_the_class_of_most_pixels(model):
    label, inst = maps()
    for number in range(3):
        made = model.translate(label, inst, {26001: number, WALL: 0}, output="float")
        values = {26001: model.styles(CAR)[number], WALL: model.styles(WALL)[0]}
        np.testing.assert_array_equal(made, model.translate(label, inst, values, output="float"))


def test_random_styles_are_those_of_the_class_of_most_pixels(model):
    label, inst = maps()
    drawn = {tuple(model._painted(sample, {}, [seed, 0])[:, 8, 8]) for seed in range(20)
             for sample in model._samples(label, inst)[0]}  # fmt: skip
    assert drawn == {tuple(style) for style in model.styles(CAR).astype(np.float32)}


@pytest.mark.parametrize("height, width", [(1, 1), (1, 30), (7, 2)])
def test_maps_of_any_size(model, height, width):
    label = np.full((height, width), CAR)
    assert model.translate(label, label).shape == (height, width, 3)
    styles = model.encode(np.zeros((height, width, 3), np.uint8), label, label)
    assert styles.keys() == {CAR} and np.isfinite(styles[CAR]).all()
