"""The layers against numpy models of the published operators, forward and backward."""

from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.models.cyclegan.networks import UpsampleConv
from src.models.layers import (
    AvgPool,
    FoldedConv,
    InstanceNorm,
    LeakyReLU,
    MaxPool,
    NarrowConv,
    PooledConv,
    ReflectionPad,
    ScaledMeanPool,
    conv,
    deconv,
    half_square,
    mean_pool,
    norm_layer,
)
from src.models.losses import l1_loss
from src.models.parameters import count_parameters, load_arrays, named_parameters


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def fill(cell, seed=1):
    """Give a layer random weights; returns them by name."""
    values = {name: random(*p.shape, seed=seed) for name, p in cell.parameters_and_names()}
    for name, parameter in cell.parameters_and_names():
        ops.assign(parameter, Tensor(values[name]))
    return values


def backward(cell, x, weight):
    """Gradients of ``sum(cell(x) * weight)`` with respect to the input and the parameters."""
    parameters = list(cell.trainable_params())

    def loss(x):
        return (cell(x) * Tensor(weight)).sum()

    gradient = ms.grad(loss, 0, parameters or None)(Tensor(x))
    if not parameters:
        return gradient.asnumpy(), {}
    of_input, of_parameters = gradient
    return of_input.asnumpy(), {p.name: g.asnumpy() for p, g in zip(parameters, of_parameters, strict=True)}


def numeric_gradient(function, x, weight, places, step=1e-3):
    """Central differences of ``sum(function(x) * weight)`` at a few flat places."""
    x, found = x.astype(np.float64), []
    for place in places:
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved.flat[place] += sign * step
            ends.append((function(moved) * weight).sum())
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found)


def pool_model(x):
    n, c, h, w = x.shape
    result = np.zeros((n, c, (h + 1) // 2, (w + 1) // 2), x.dtype)
    for i in range(result.shape[2]):
        for j in range(result.shape[3]):
            window = x[:, :, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2]
            result[:, :, i, j] = window.mean((2, 3))
    return result


def deconv_model(x, weight, bias):
    """What PyTorch documents for ConvTranspose2d(kernel 3, stride 2, padding 1, output_padding 1)."""
    n, _, h, w = x.shape
    whole = np.zeros((n, weight.shape[1], 2 * h + 2, 2 * w + 2))
    for i in range(h):
        for j in range(w):
            whole[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += np.einsum("nc,cokl->nokl", x[:, :, i, j], weight)
    return whole[:, :, 1 : 2 * h + 1, 1 : 2 * w + 1] + bias.reshape(1, -1, 1, 1)


def norm_model(x):
    mean, variance = x.mean((2, 3), keepdims=True), x.var((2, 3), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.parametrize("padding, size", [(1, (2, 3)), (3, (4, 9)), (3, (8, 8))])
def test_reflection_does_not_repeat_the_border(padding, size):
    x = random(2, 3, *size)
    want = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode="reflect")
    np.testing.assert_array_equal(ReflectionPad(padding)(Tensor(x)).asnumpy(), want)
    counts = np.pad(np.arange(x[0, 0].size).reshape(size), padding, mode="reflect").reshape(-1)
    gradient, _ = backward(ReflectionPad(padding), x, np.ones_like(want))
    np.testing.assert_allclose(gradient[0, 0].reshape(-1), np.bincount(counts))


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (4, 5), (1, 1), (2, 1)])
def test_pooling_does_not_count_its_padding(size):
    x = random(2, 3, *size)
    np.testing.assert_allclose(AvgPool()(Tensor(x)).asnumpy(), pool_model(x), atol=1e-6)
    weight = random(*pool_model(x).shape)
    gradient, _ = backward(AvgPool(), x, weight)
    # the pool is linear: its gradient at one pixel is the weighted response to that pixel alone
    for place in np.random.default_rng(0).integers(0, x.size, 6):
        impulse = np.zeros_like(x)
        impulse.flat[place] = 1
        assert gradient.flat[place] == pytest.approx((pool_model(impulse) * weight).sum(), abs=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1), (2, 1)])
def test_both_forms_of_the_padded_mean_are_equal(mode, size, stride):
    """Some Ascend chips have no mean with padding."""
    x = random(2, 3, *size)
    one, other = mean_pool(stride), ScaledMeanPool(stride)
    want = one(Tensor(x)).asnumpy()
    np.testing.assert_allclose(other(Tensor(x)).asnumpy(), want, atol=1e-6)
    weight = random(*want.shape)
    np.testing.assert_allclose(backward(other, x, weight)[0], backward(one, x, weight)[0], atol=1e-6)


def test_a_chip_without_padded_means_gets_the_other_form(monkeypatch):
    monkeypatch.setattr(nn, "AvgPool2d", refusing_padding(nn.AvgPool2d))
    assert isinstance(mean_pool(2), ScaledMeanPool)
    x = random(1, 2, 5, 6)
    np.testing.assert_allclose(AvgPool()(Tensor(x)).asnumpy(), pool_model(x), atol=1e-6)


def refusing_padding(pool):
    """What MindSpore does on Ascend 910B."""

    def make(*arguments, **options):
        if options.get("pad_mode") == "pad":
            raise ValueError("the pad_mod 'PAD' is not support in Ascend910B or Ascend910_93 now")
        return pool(*arguments, **options)

    return make


@pytest.mark.parametrize("size", [(3, 4), (1, 5)])
def test_deconvolution_has_the_published_phase(mode, size):
    cell = deconv(4, 3)
    values = fill(cell)
    x = random(2, 4, *size)
    assert values["weight"].shape == (4, 3, 3, 3)
    want = deconv_model(x, values["weight"], values["bias"])
    assert want.shape == (2, 3, 2 * size[0], 2 * size[1])
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), want, atol=1e-5)
    upstream = random(*want.shape, seed=3)
    of_input, of_parameters = backward(cell, x, upstream)
    np.testing.assert_allclose(of_parameters["bias"], upstream.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)
    places = [0, x.size // 2, x.size - 1]
    zero = np.zeros(3)
    numbers = numeric_gradient(lambda v: deconv_model(v, values["weight"], zero), x, upstream, places)
    np.testing.assert_allclose(of_input.flat[places], numbers, rtol=1e-3, atol=1e-3)
    places = [0, 13, values["weight"].size - 1]
    numbers = numeric_gradient(lambda v: deconv_model(x, v, zero), values["weight"], upstream, places)
    np.testing.assert_allclose(of_parameters["weight"].flat[places], numbers, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kernel, stride, padding", [(3, 1, 0), (3, 2, 1), (4, 2, 2), (4, 1, 2), (7, 1, 0)])
def test_convolution_pads_with_zeros_and_adds_its_bias(kernel, stride, padding):
    cell = conv(2, 3, kernel, stride, padding)
    values = fill(cell)
    x = random(2, 2, 9, 8)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))[:, :, ::stride, ::stride]
    want = np.einsum("nchwkl,ockl->nohw", windows, values["weight"]) + values["bias"].reshape(1, -1, 1, 1)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), want, atol=1e-4)


def test_instance_norm_is_biased_and_per_sample(mode):
    # a large mean, which a variance as mean of squares minus square of mean would not survive
    x = (random(2, 3, 6, 5) * np.array([0.01, 1, 30]).reshape(1, 3, 1, 1) + 50).astype(np.float32)
    cell = InstanceNorm(3)
    assert not list(cell.get_parameters())
    want = norm_model(x.astype(np.float64))
    tolerance = np.array([1e-2, 1e-4, 1e-4]).reshape(1, 3, 1, 1)
    assert (np.abs(cell(Tensor(x)).asnumpy() - want) < tolerance).all()
    cell.set_train(False)
    assert (np.abs(cell(Tensor(x)).asnumpy() - want) < tolerance).all()
    weight = random(2, 3, 6, 5, seed=4)
    x = random(2, 3, 6, 5, seed=5)
    gradient, _ = backward(cell, x, weight)
    places = [0, 17, 95, 179]
    np.testing.assert_allclose(
        gradient.flat[places], numeric_gradient(norm_model, x, weight, places), rtol=1e-3, atol=1e-4
    )


def test_instance_norm_of_a_constant_is_zero():
    np.testing.assert_allclose(InstanceNorm(1)(Tensor(np.full((1, 1, 4, 4), 7, np.float32))).asnumpy(), 0)


def test_batch_norm_keeps_running_statistics():
    cell = norm_layer("batch", 3)
    x = random(4, 3, 5, 6) * 2 + 1
    cell.set_train(True)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    want = (x - mean.reshape(1, 3, 1, 1)) / np.sqrt(variance.reshape(1, 3, 1, 1) + 1e-5)
    np.testing.assert_allclose(cell(Tensor(x)).asnumpy(), want, atol=1e-4)
    # momentum 0.1 in PyTorch's words, and its running variance is unbiased
    count = x.size / 3
    np.testing.assert_allclose(cell.moving_mean.asnumpy(), 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(cell.moving_variance.asnumpy(), 0.9 + 0.1 * variance * count / (count - 1), atol=1e-3)
    cell.set_train(False)
    ops.assign(cell.moving_mean, Tensor(np.array([1, 2, 3], np.float32)))
    ops.assign(cell.moving_variance, Tensor(np.array([4, 5, 6], np.float32)))
    scale = np.sqrt(np.array([4, 5, 6]) + 1e-5).reshape(1, 3, 1, 1)
    np.testing.assert_allclose(
        cell(Tensor(x)).asnumpy(), (x - np.array([1, 2, 3]).reshape(1, 3, 1, 1)) / scale, atol=1e-4
    )


@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize("kernel, channels", [(7, 3), (3, 1), (1, 4)])
def test_narrow_convolution_equals_the_plain_one(mode, by_rows, kernel, channels):
    narrow = NarrowConv(5, channels, kernel, by_rows)
    values = fill(narrow)
    plain = nn.Conv2d(5, channels, kernel, pad_mode="valid", has_bias=True)
    for name, parameter in plain.parameters_and_names():
        assert parameter.shape == values[name].shape
        ops.assign(parameter, Tensor(values[name]))
    x = random(2, 5, 9, 11)
    want = plain(Tensor(x)).asnumpy()
    np.testing.assert_allclose(narrow(Tensor(x)).asnumpy(), want, atol=1e-4)
    upstream = random(*want.shape, seed=2)
    got, want = backward(narrow, x, upstream), backward(plain, x, upstream)
    np.testing.assert_allclose(got[0], want[0], atol=1e-3)
    assert got[1].keys() == want[1].keys() == {"weight", "bias"}
    for name in got[1]:
        np.testing.assert_allclose(got[1][name], want[1][name], rtol=1e-4, atol=1e-3)


class _WithWeight(nn.Cell):
    """A convolution that is given its weight."""

    def __init__(self, conv, shape):
        super().__init__()
        self.conv = conv
        self.weight = ms.Parameter(Tensor(random(*shape, seed=3)), name="weight")

    def construct(self, x):
        return self.conv(x, self.weight)


@pytest.mark.parametrize("kernel, channels", [(3, 2), (5, 1)])
def test_folded_convolution_equals_the_plain_one(mode, kernel, channels):
    shape = (channels, 5, kernel, kernel)
    folded = _WithWeight(FoldedConv(channels, kernel), shape)
    plain = _WithWeight(ops.Conv2D(channels, kernel, pad_mode="pad", pad=kernel // 2), shape)
    x = random(2, 5, 7, 9)
    want = plain(Tensor(x)).asnumpy()
    for training in (True, False):
        folded.set_train(training)
        np.testing.assert_allclose(folded(Tensor(x)).asnumpy(), want, atol=1e-5)
    folded.set_train()
    upstream = random(*want.shape, seed=2)
    got, want = backward(folded, x, upstream), backward(plain, x, upstream)
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)
    np.testing.assert_allclose(got[1]["weight"], want[1]["weight"], rtol=1e-5, atol=1e-4)


def test_squares_are_summed_without_loss(mode):
    """Sums of millions, as of gradients in one bucket; both forms are the same for few."""
    x = np.random.default_rng(0).normal(size=3_000_000).astype(np.float32)
    few = Tensor(x[:1000])
    np.testing.assert_allclose(half_square()(Tensor(x)).asnumpy(), 0.5 * (x.astype(np.float64) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(half_square(True)(few).asnumpy(), half_square(False)(few).asnumpy(), rtol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_leaky_relu(mode, fused):
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 3.0]], np.float32)
    leaky = LeakyReLU(0.2, fused)
    np.testing.assert_allclose(leaky(Tensor(x)).asnumpy(), [[-0.4, -0.1, 0, 0.5, 3]], rtol=1e-6)
    gradient, _ = backward(leaky, x[:, [0, 1, 3, 4]], np.ones((1, 4), np.float32))
    np.testing.assert_allclose(gradient, [[0.2, 0.2, 1, 1]], rtol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_leaky_relu_of_maps(mode, fused):
    x, upstream = random(2, 3, 5, 4), random(2, 3, 5, 4, seed=2)
    np.testing.assert_allclose(LeakyReLU(0.1, fused)(Tensor(x)).asnumpy(), np.where(x > 0, x, 0.1 * x), atol=1e-6)
    gradient, _ = backward(LeakyReLU(0.1, fused), x, upstream)
    np.testing.assert_allclose(gradient, np.where(x > 0, upstream, 0.1 * upstream), atol=1e-6)


@pytest.mark.parametrize("make", [partial(conv, 3, 4, 3), partial(deconv, 3, 4), partial(UpsampleConv, 3, 4)])
def test_a_bias_that_the_norm_cancels_is_neither_added_nor_trained(mode, make):
    full, bare = make(), make(norm="instance")
    values = fill(full)
    load_arrays(bare, values)
    assert count_parameters(bare) == count_parameters(full) and named_parameters(bare).keys() == values.keys()
    assert [p.name for p in bare.trainable_params()] == ["weight"]
    full, bare = (nn.SequentialCell([cell, norm_layer("instance", 4)]) for cell in (full, bare))
    x = random(2, 3, 6, 8)
    want = full(Tensor(x)).asnumpy()
    np.testing.assert_allclose(bare(Tensor(x)).asnumpy(), want, atol=2e-5)
    upstream = random(*want.shape, seed=2)
    got, want = backward(bare, x, upstream), backward(full, x, upstream)
    np.testing.assert_allclose(got[0], want[0], atol=1e-4)
    np.testing.assert_allclose(got[1]["0.weight"], want[1]["0.weight"], atol=1e-4)
    # nothing is lost: the gradient of the bias is rounding
    assert np.abs(want[1]["0.bias"]).max() < 1e-4 * np.abs(want[1]["0.weight"]).max()


def test_a_batch_norm_keeps_the_bias_in_front_of_it():
    assert conv(3, 4, 3, norm="batch").has_bias and len(conv(3, 4, 3, norm="batch").trainable_params()) == 2


@pytest.mark.parametrize("height", [6, 7])
def test_a_pool_in_front_of_the_bias_is_the_same(mode, height):
    pooled, plain = PooledConv(3, 4, 3, 1), conv(3, 4, 3, 1, 1)
    load_arrays(plain, fill(pooled))
    plain = nn.SequentialCell([plain, MaxPool()])
    x = random(2, 3, height, 8)
    want = plain(Tensor(x)).asnumpy()
    np.testing.assert_array_equal(pooled(Tensor(x)).asnumpy(), want)
    upstream = random(*want.shape, seed=2)
    got, want = backward(pooled, x, upstream), backward(plain, x, upstream)
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)
    for name, gradient in got[1].items():
        np.testing.assert_allclose(gradient, want[1][f"0.{name}"], atol=1e-5)


class _Distance(nn.Cell):
    def __init__(self, fused):
        super().__init__()
        self.fused = fused

    def construct(self, pair):
        return l1_loss(pair[0], pair[1], self.fused)


@pytest.mark.parametrize("fused", [None, False, True])
def test_l1_loss(mode, fused):
    pair = random(2, 3, 5, 4)
    # equal features, far ones, and differences as small as float32 has them between features near 1
    pair[1, 0], pair[1, 1, 0] = pair[0, 0], 1e4
    pair[0, 2, 0], pair[1, 2, 0] = 1.0, 1.0 + 2.0**-23
    difference = pair[0] - pair[1]
    np.testing.assert_allclose(_Distance(fused)(Tensor(pair)).asnumpy(), np.abs(difference).mean(), rtol=1e-6)
    gradient, _ = backward(_Distance(fused), pair, np.float32(3))
    np.testing.assert_allclose(gradient, np.stack([np.sign(difference), -np.sign(difference)]) * 3 / 60, rtol=1e-6)
