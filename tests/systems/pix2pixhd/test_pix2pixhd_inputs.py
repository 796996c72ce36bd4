"""From label and instance maps to what pix2pixHD's networks see."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.models.pix2pixhd.inputs import InputEncoder, boundary_map, instance_mean
from tests.systems.pix2pixhd.tiny_pix2pixhd import mean_model


def boundary_model(ids):
    n, _, h, w = ids.shape
    result = np.zeros(ids.shape, np.float32)
    for b in range(n):
        for y in range(h):
            for x in range(w):
                for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                    if 0 <= y + dy < h and 0 <= x + dx < w and ids[b, 0, y, x] != ids[b, 0, y + dy, x + dx]:
                        result[b, 0, y, x] = 1
    return result


@pytest.mark.parametrize("shape", [(2, 1, 9, 12), (1, 1, 2, 2)])
def test_boundaries_against_a_loop(mode, shape):
    ids = np.random.default_rng(1).choice([0, 1, 26001, 65535], shape, p=[0.7, 0.1, 0.1, 0.1]).astype(np.int32)
    np.testing.assert_array_equal(boundary_map(Tensor(ids)).asnumpy(), boundary_model(ids))


def test_an_image_of_one_instance_has_no_boundary():
    assert not boundary_map(Tensor(np.full((1, 1, 4, 4), 7, np.int32))).asnumpy().any()


def test_instance_means_against_a_loop(mode):
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2, 3, 6, 7)).astype(np.float32)
    # the samples of a batch use the same ids; 3 and 5 occur nowhere
    ids = rng.choice([0, 1, 2, 4], (2, 1, 6, 7)).astype(np.int32)
    got = instance_mean(Tensor(features), Tensor(ids), 6).asnumpy()
    np.testing.assert_allclose(got, mean_model(features, ids), atol=1e-6)
    weight = rng.standard_normal((2, 3, 6, 7)).astype(np.float32)

    def loss(x):
        return (instance_mean(x, Tensor(ids), 6) * Tensor(weight)).sum()

    gradient = ms.grad(loss)(Tensor(features)).asnumpy()
    # averaging within regions is its own transpose
    np.testing.assert_allclose(gradient, mean_model(weight, ids), atol=1e-6)


def test_one_hot_labels_and_boundaries(mode):
    label = np.array([[[[0, 1, 2], [4, 4, 3]]]], np.int32)
    inst = np.array([[[[0, 0, 0], [0, 0, 9]]]], np.int32)
    got = InputEncoder(5, no_instance=False)(Tensor(label), Tensor(inst)).asnumpy()
    np.testing.assert_array_equal(got[0, :5], (label[0] == np.arange(5).reshape(5, 1, 1)).astype(np.float32))
    np.testing.assert_array_equal(got[0, 5], [[0, 0, 1], [0, 1, 1]])
    nothing = Tensor(np.zeros(1, np.float32))
    got = InputEncoder(5, no_instance=True)(Tensor(label), nothing).asnumpy()
    assert got.shape == (1, 5, 2, 3) and (got.sum(1) == 1).all()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 4, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(InputEncoder(0, no_instance=True)(Tensor(image), nothing).asnumpy(), image)
