"""The light generator: what it computes, and how little work that is."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.parameters import init_weights, named_parameters
from src.models.pix2pixhd.light import LightGenerator
from src.models.pix2pixhd.networks import GlobalGenerator
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from tests.systems.pix2pixhd.tiny_pix2pixhd import IN_RANGE


def light(**options):
    cell = LightGenerator(3, 3, **{"ngf": 4, "n_downsampling": 2, "n_blocks": 1} | options)
    init_weights(cell, init_gain=0.3, seed=1)
    return cell.set_train(False)


def work(cell, level_of):
    """Multiply-adds a pixel of the image: a map of level n has 4^n times fewer pixels than the image."""
    weights = {n: p for n, p in named_parameters(cell).items() if len(p.shape) == 4}
    assert weights
    return sum(parameter.size / 4 ** level_of(name.split(".")) for name, parameter in weights.items())


def test_work_is_at_most_a_sixth_of_the_global_generators():
    """At every size, 1080p among them, because all maps of both are powers of two smaller than the image."""
    config = load_config([], "configs/pix2pixhd_light.yaml")
    student = Pix2PixHD(config, training=False).networks["G"]
    depth = config.n_downsample_global
    levels = {"entry": lambda i: 0, "exit": lambda i: 0, "body": lambda i: depth, "down": lambda i: i + 1}
    # the way back begins at the smallest map
    levels |= {"narrow": lambda i: depth - i, "join": lambda i: depth - 1 - i}
    small = work(student, lambda names: levels[names[0]](int(names[1])))
    # convolutions of the global generator in their order: the first, four that halve, blocks, four that double and take
    # the map of their input, and the last
    level_of = {1: 0, 4: 1, 7: 2, 10: 3, 13: 4} | dict.fromkeys(range(16, 25), 4) | {25: 4, 28: 3, 31: 2, 34: 1, 38: 0}
    large = work(GlobalGenerator(3, 3), lambda names: level_of[int(names[1])])
    c = config.ngf
    assert small == 2 * 27 * c + depth * 27 * c**2 + config.n_blocks_global * 18 * c**2 == 69_984
    assert large == 2 * 49 * 3 * 64 + 8 * 18_432 + 9 * 73_728 == 829_824
    assert 6 * small <= large


def test_maps_of_the_way_down_come_back():
    """Against the same layers called one by one, with pixels repeated by NumPy."""
    cell = light()
    x = Tensor(np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 24)).astype(np.float32))
    whole = cell.entry(x)
    half = cell.down[0](whole)
    y = cell.body(cell.down[1](half))
    assert y.shape == (2, 16, 4, 6)
    for i, kept in enumerate((half, whole)):
        doubled = cell.narrow[i](y).asnumpy().repeat(2, 2).repeat(2, 3)
        y = cell.join[i](ops.concat((Tensor(doubled), kept), 1))
    got = cell(x).asnumpy()
    assert got.shape == (2, 3, 16, 24) and np.abs(got).max() <= IN_RANGE
    np.testing.assert_allclose(got, cell.exit(y).asnumpy(), atol=1e-5)


@pytest.mark.parametrize("options", [{"n_blocks": 0}, {"norm": "batch"}, {"n_downsampling": 1, "ngf": 3}])
def test_other_shapes_keep_the_size(options):
    x = Tensor(np.zeros((1, 3, 8, 12), np.float32))
    cell = light(**options)
    want = cell(x).asnumpy()
    cell.recompute_stages()
    assert (cell(x).asnumpy() == want).all() and want.shape == (1, 3, 8, 12)
