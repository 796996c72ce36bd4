"""hflow's resampling, normalised layers, mixes, masks and flow steps, against float64 definitions."""

import mindspore as ms
import numpy as np
import pytest
import scipy.linalg
from mindspore import Tensor, nn, ops

from src.models.hflow.couplings import ConvCoupling, PointCoupling, PooledCoupling, visible_mask
from src.models.hflow.layers import EqualConv, EqualLinear, UnbiasedInstanceNorm
from src.models.hflow.mixing import ChannelMix, OrthogonalMix, exponentials
from src.models.hflow.resample import (
    Resample,
    bilinear_matrix,
    coupling_resample,
    down_matrix,
    encoder_resample,
    up_matrix,
)
from src.models.hflow.steps import ActNorm, Step, StepChain
from tests.models.flow_checks import call, contract_errors


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def stir(cell, scale=0.2, seed=1):
    """Move every parameter off its start, so that nothing passes because it is zero."""
    for i, p in enumerate(cell.get_parameters()):
        ops.assign(p, Tensor(p.asnumpy() + scale * draw(*p.shape, seed=seed + i)))
    return cell


def filtered_down(x):
    """The definition: mirror by one, correlate with [1, 3, 3, 1] / 8 on both axes, every second value."""
    k = np.array([1, 3, 3, 1]) / 8
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    size = x.shape[2]
    out = np.zeros((*x.shape[:2], size // 2, size // 2))
    for i in range(size // 2):
        for j in range(size // 2):
            window = padded[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            out[:, :, i, j] = (window * k[:, None] * k).sum((2, 3))
    return out


def filtered_up(x):
    """The definition: values at odd positions of a zero map, mirrored 1 before and 2 behind, same filter."""
    k = np.array([1, 3, 3, 1]) / 4
    size = x.shape[2]
    spread = np.zeros((*x.shape[:2], 2 * size, 2 * size))
    spread[:, :, 1::2, 1::2] = x
    padded = np.pad(spread, ((0, 0), (0, 0), (1, 2), (1, 2)), mode="reflect")
    out = np.zeros_like(spread)
    for i in range(2 * size):
        for j in range(2 * size):
            out[:, :, i, j] = (padded[:, :, i : i + 4, j : j + 4] * k[:, None] * k).sum((2, 3))
    return out


@pytest.mark.parametrize("size", [4, 8, 16])
def test_resampling_is_the_filter(size):
    x = draw(2, 3, size, size)
    np.testing.assert_allclose(Resample(down_matrix(size))(Tensor(x)).asnumpy(), filtered_down(x), atol=1e-6)
    up = Resample(up_matrix(size))(Tensor(x)).asnumpy()
    np.testing.assert_allclose(up, filtered_up(x), atol=1e-6)
    np.testing.assert_allclose(up[:, :, 0, 0], x[:, :, 0, 0], atol=1e-6)
    last = 0.75 * x[:, :, -1] + 0.25 * x[:, :, -2]
    np.testing.assert_allclose(up[:, :, -1, 1:-1:2], 0.75 * last[:, :, :-1] + 0.25 * last[:, :, 1:], atol=1e-6)


def test_bilinear_matrices():
    np.testing.assert_allclose(bilinear_matrix(4, 2, False), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(bilinear_matrix(2, 4, False), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(bilinear_matrix(4, 2, True), [[1, 0, 0, 0], [0, 0, 0, 1]])
    expected = np.array([[3, 0], [2, 1], [1, 2], [0, 3]]) / 3
    np.testing.assert_allclose(bilinear_matrix(2, 4, True), expected)


def test_two_steps_fold_into_one_product():
    x = draw(1, 2, 8, 8)
    np.testing.assert_allclose(
        coupling_resample(8, 2, up=False)(Tensor(x)).asnumpy(),
        np.einsum("ij,ncjk,lk->ncil", bilinear_matrix(4, 2, True), filtered_down(x), bilinear_matrix(4, 2, True)),
        atol=1e-6,
    )
    means = x.reshape(1, 2, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(encoder_resample(8, filtered=False)(Tensor(x)).asnumpy(), means, atol=1e-6)


def test_equalised_layers_scale_weight_and_bias():
    x = draw(2, 3, 5, 5)
    conv = EqualConv(3, 4, 3, lr=10.0, activation="linear")
    w, b = draw(4, 3, 3, 3, seed=2), draw(4, seed=3)
    ops.assign(conv.w, Tensor(w))
    ops.assign(conv.b, Tensor(b))
    scale = 10.0 / np.sqrt(27)
    centre = np.einsum("oikl,nikl->no", w * scale, x[:, :, 1:4, 1:4]) + 10.0 * b
    np.testing.assert_allclose(conv(Tensor(x)).asnumpy()[:, :, 2, 2], centre, rtol=1e-4)
    dense = EqualLinear(5, 4, lr=0.2)
    w = draw(4, 5, seed=4)
    ops.assign(dense.w, Tensor(w))
    ops.assign(dense.b, Tensor(b))
    x = draw(3, 5, seed=5)
    linear = x @ w.T * (0.2 * np.sqrt(2 / 1.01) / np.sqrt(5)) + 0.2 * b
    np.testing.assert_allclose(
        dense(Tensor(x)).asnumpy(), np.where(linear > 0, linear, 0.1 * linear), rtol=1e-4, atol=1e-6
    )
    silent = EqualConv(3, 4, 1, lr=10.0, bias=False)
    ops.assign(silent.b, Tensor(draw(4)))
    assert not silent(ops.zeros((1, 3, 2, 2))).asnumpy().any()


@pytest.mark.parametrize("size", [2, 8])
def test_instance_norm_is_unbiased(size):
    x = 3.0 * draw(2, 3, size, size) + 2.0
    std = np.sqrt(x.var((2, 3), ddof=1, keepdims=True) + 1e-6)
    expected = (x - x.mean((2, 3), keepdims=True)) / std
    np.testing.assert_allclose(UnbiasedInstanceNorm(3, size)(Tensor(x)).asnumpy(), expected, atol=2e-6)


class Exponential(nn.Cell):
    def construct(self, u):
        return exponentials(u, 0.1)


class FirstRow(nn.Cell):
    def construct(self, u):
        return exponentials(u, 0.1)[0][0, 0, 1]


@pytest.mark.parametrize("size", [4, 60, 508])
def test_matrix_exponential_meets_float64(size):
    u = 10.0 * draw(2 if size < 500 else 1, size, size)
    got, logdets = (a.asnumpy() for a in Exponential()(Tensor(u)))
    want = np.stack([scipy.linalg.expm(0.1 * (m - m.T)) for m in u.astype(np.float64)])
    np.testing.assert_allclose(got, want, atol=4e-6)
    np.testing.assert_allclose(np.matmul(got.swapaxes(1, 2), got) - np.eye(size), 0.0, atol=4e-6)
    np.testing.assert_array_equal(logdets, np.zeros(len(u)))


@pytest.mark.parametrize("growth", [1, 4, 8, 12, 16])
def test_the_log_determinant_of_what_should_be_orthogonal_is_never_wrong(growth, mode):
    """From 12 times the start on the series no longer converges, and 0 would be a lie."""
    u = growth * 10.0 * draw(1, 28, 28)
    matrix, logdet = (a.asnumpy()[0].astype(np.float64) for a in Exponential()(Tensor(u)))
    if growth < 12:
        assert logdet == 0.0 and abs(np.linalg.slogdet(matrix)[1]) < 0.005
    else:
        assert np.isnan(logdet) and abs(np.linalg.slogdet(matrix)[1]) > 0.05


def test_matrix_exponential_gradient_and_modes(mode):
    u = 10.0 * draw(1, 5, 5)
    gradient = ops.GradOperation()(FirstRow())(Tensor(u)).asnumpy()[0]
    expected = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            values = []
            for shift in (1e-4, -1e-4):
                m = u[0].astype(np.float64)
                m[i, j] += shift
                values.append(scipy.linalg.expm(0.1 * (m - m.T))[0, 1])
            expected[i, j] = (values[0] - values[1]) / 2e-4
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


def test_masks():
    np.testing.assert_array_equal(visible_mask("channels", 3, 8, 0)[0, :, 0, 0], [1, 0, 0])
    np.testing.assert_array_equal(visible_mask("channels", 4, 8, 1)[0, :, 0, 0], [1, 1, 0, 0])
    for split, tile in (("blocks", 2), ("lblocks", 4), ("hblocks", 8)):
        odd, even = (visible_mask(split, 3, 16, i)[0, 0] for i in (1, 2))
        assert odd[:tile, :tile].all() and not odd[:tile, tile : 2 * tile].any()
        np.testing.assert_array_equal(odd + even, np.ones((16, 16)))
    # of single pixels, odd steps see the neighbours of the origin; of halves, the right one and the lower one
    np.testing.assert_array_equal(visible_mask("spatial", 3, 2, 1)[0, 0], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(visible_mask("vhalfs", 3, 2, 1)[0, 0], [[0, 1], [0, 1]])
    np.testing.assert_array_equal(visible_mask("hhalfs", 3, 2, 1)[0, 0], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(visible_mask("hhalfs", 3, 2, 2)[0, 0], [[1, 1], [0, 0]])


@pytest.mark.parametrize(("split", "turned"), [("vhalfs", np.fliplr), ("hhalfs", np.flipud), ("blocks", np.asarray)])
def test_halves_are_mirrored_onto_what_they_hide(split, turned):
    coupling = PooledCoupling(split, 2, 6, 8, 0, **POOLED)
    x = draw(2, 2, 8, 8)
    got = coupling.mirrored(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(got, np.stack([[turned(plane) for plane in image] for image in x]))


def chain(mix, count=3):
    return StepChain([Step(4, PointCoupling(4, 8, i, 6), mix(4, 0.3)) for i in range(count)])


POOLED = {"condition_channels": 6, "kernel": 3, "downs": 2, "growth": 1.2, "reduced": True, "double": False}
OPS = {
    "actnorm": (lambda: ActNorm(4), None, 4),
    "channel_mix": (lambda: ChannelMix(4, 0.3), None, 4),
    "orthogonal_mix": (lambda: OrthogonalMix(4, 0.1), None, 4),
    "conv_step": (lambda: Step(3, ConvCoupling("channels", 3, 6, 4, 0, 6, 3), ChannelMix(3, 0.3)), 4, 4),
    "blocks_step": (
        lambda: Step(2, PooledCoupling("blocks", 2, 6, 8, 1, **POOLED), ChannelMix(2, 0.3)),
        8,
        8,
    ),
    "lblocks_step": (
        lambda: Step(2, PooledCoupling("lblocks", 2, 6, 8, 0, **POOLED), OrthogonalMix(2, 1.0)),
        8,
        8,
    ),
    "lower_half_step": (lambda: Step(2, PooledCoupling("hhalfs", 2, 6, 8, 1, **POOLED), ChannelMix(2, 0.3)), 8, 8),
    "spatial_step": (lambda: Step(2, ConvCoupling("spatial", 2, 6, 4, 1, 6, 3), ChannelMix(2, 0.3)), 4, 4),
    "point_step": (lambda: Step(5, PointCoupling(5, 8, 0), OrthogonalMix(5, 0.1)), None, 1),
    "point_chain": (lambda: chain(OrthogonalMix), 1, 1),
    "free_chain": (lambda: chain(ChannelMix), 1, 1),
}
CHANNELS = {
    "conv_step": 3,
    "blocks_step": 2,
    "lblocks_step": 2,
    "lower_half_step": 2,
    "spatial_step": 2,
    "point_step": 5,
}


def check_op(name):
    make, condition_size, size = OPS[name]
    op = stir(make())
    x = draw(3, CHANNELS.get(name, 4), size, size)
    condition = draw(3, 6, condition_size, condition_size, seed=7) if condition_size else None
    errors = contract_errors(op, x, condition)
    assert errors["shape"] == 0
    assert errors["round_trip"] < 1e-5, errors
    assert errors["logdet"] < 2e-3, errors
    assert errors["batch"] < 2e-5, errors


@pytest.mark.parametrize("name", OPS)
def test_op_keeps_the_contract(name):
    check_op(name)


@pytest.mark.parametrize("name", ["conv_step", "free_chain"])
def test_op_keeps_the_contract_compiled(name):
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        check_op(name)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


class Forgetful(Step):
    """Wrong: the mix is missing in the log-determinant."""

    def construct(self, x, condition=None):
        return self.encode(x, condition, self.invconv.matrix())


def test_a_forgotten_mix_is_rejected():
    op = stir(Forgetful(3, ConvCoupling("channels", 3, 6, 4, 0, 6, 3), ChannelMix(3, 0.3)))
    errors = contract_errors(op, draw(3, 3, 4, 4), draw(3, 6, 4, 4, seed=7))
    assert errors["logdet"] > 0.05


@pytest.mark.parametrize("mix", [ChannelMix, OrthogonalMix])
def test_chain_is_its_steps_with_one_call_for_all_mixes(mix):
    op = stir(chain(mix))
    x, condition = draw(2, 4, 1, 1), draw(2, 6, 1, 1, seed=7)
    y, total = call(op, x, condition)
    z, expected = Tensor(x), 0.0
    for step in reversed(list(op.steps)):
        z, logdet = step(z, Tensor(condition))
        expected = expected + logdet.asnumpy()
    np.testing.assert_allclose(y, z.asnumpy(), atol=1e-6)
    np.testing.assert_allclose(total, expected, atol=1e-5)
    _, back = op.generate(Tensor(y), Tensor(condition))
    np.testing.assert_allclose(back.asnumpy(), -total, atol=1e-5)
