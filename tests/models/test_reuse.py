"""Blocks that are compiled once: each with its own weights, and really once."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.models.reuse import compile_once


class _Block(nn.Cell):
    def __init__(self, weight, factor):
        super().__init__()
        self.weight = Parameter(Tensor(weight, ms.float32), name="weight")
        self.factor = factor

    def construct(self, x):
        return self.weight * x * x * self.factor


class _Blocks(nn.Cell):
    def __init__(self, factors):
        super().__init__()
        self.blocks = nn.CellList([_Block(weight, factor) for weight, factor in zip((2.0, 3.0), factors, strict=True)])
        compile_once(list(self.blocks))

    def construct(self, x):
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture(autouse=True)
def compiled():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield
    ms.set_context(mode=before)


def test_every_block_has_its_own_weights_and_gradients():
    net = _Blocks((1.0, 1.0))
    x = Tensor(0.5, ms.float32)
    of_x, of_weights = ms.grad(net, 0, net.trainable_params())(x)
    # y = 3 (2 x^2)^2
    np.testing.assert_allclose(net(x).asnumpy(), 12 * 0.5**4, rtol=1e-6)
    np.testing.assert_allclose(of_x.asnumpy(), 48 * 0.5**3, rtol=1e-6)
    np.testing.assert_allclose([g.asnumpy() for g in of_weights], [12 * 0.5**4, 4 * 0.5**4], rtol=1e-6)


def test_one_block_is_compiled_for_all():
    # constants come from the first block, which shows that the second is not compiled
    got = _Blocks((1.0, 5.0))(Tensor(0.5, ms.float32)).asnumpy()
    np.testing.assert_allclose(got, 12 * 0.5**4, rtol=1e-6)
