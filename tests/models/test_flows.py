"""Every invertible op keeps its contract, a broken one does not, and sequences have the same gradient in
every way."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor, nn, ops

from src.models.flows import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    ConditionalActNorm,
    ConditionalInvertibleConv,
    ConditionalInvertibleConvLU,
    InvertibleConv,
    InvertibleConvLU,
    Sequence,
    Split,
    Squeeze,
    check_squeezable,
)
from src.models.flows.nets import Chain, Conv, Net, OutputDense, ReLU, ZeroConv
from src.utils.errors import UserError
from tests.models.flow_checks import call, contract_errors

C, H, W = 4, 3, 5


class PooledNet(Net):
    """A condition (N, 3, H, W) to (N, out): mean over pixels, then one dense layer."""

    def __init__(self, out, flagged=False):
        super().__init__()
        self.last = OutputDense(3, out, flagged)

    def weights(self):
        return self.last.weights()

    def compute(self, x, weights, at=0):
        return self.last.compute(x.mean((2, 3)), weights, at)


def rng():
    return np.random.default_rng(0)


def coupling_net(cin, cout):
    return Chain(Conv(rng(), cin, 6, 3, 1), ReLU(), ZeroConv(rng(), 6, cout))


def stir(op, scale=0.1):
    """Move every trained weight away from its start, so that nothing is zero by construction."""
    draw = np.random.default_rng(5)
    for p in op.trainable_params():
        ops.assign(p, Tensor((p.asnumpy() + scale * draw.standard_normal(p.shape)).astype(np.float32)))
    return op


def mixed_sequence(memory="store"):
    """Unlike ops in a row, conditional and not."""
    return Sequence(
        [
            ActNorm(C),
            InvertibleConvLU(rng(), C),
            AffineCoupling(coupling_net(C // 2, C)),
            ConditionalInvertibleConv(rng(), C, PooledNet(C * C)),
            AffineCoupling(coupling_net(C // 2 + 2, C), Conv(rng(), 3, 2, 3, 1), limit=1.0),
        ],
        memory,
    )


OPS = {
    "squeeze": (Squeeze, False),
    "split": (lambda: Split(Conv(rng(), C // 2, C, 3, 1)), False),
    "split_interleaved": (lambda: Split(Conv(rng(), C // 2, C, 3, 1), interleaved=True), False),
    "split_conditional": (lambda: Split(Conv(rng(), C // 2 + 3, C, 3, 1), conditional=True), True),
    "actnorm": (lambda: ActNorm(C), False),
    "actnorm_limited": (lambda: ActNorm(C, limit=2.0), False),
    "actnorm_conditional": (lambda: ConditionalActNorm(PooledNet(2 * C, flagged=True)), True),
    "actnorm_conditional_limited": (
        lambda: ConditionalActNorm(PooledNet(2 * C, flagged=True), limit=2.0),
        True,
    ),
    "conv": (lambda: InvertibleConv(rng(), C), False),
    "conv_odd_channels": (lambda: InvertibleConv(rng(), 3), False),
    "conv_lu": (lambda: InvertibleConvLU(rng(), C), False),
    "conv_lu_odd_channels": (lambda: InvertibleConvLU(rng(), 7), False),
    "conv_lu_limited": (lambda: InvertibleConvLU(rng(), C, limit=1.0), False),
    "conv_conditional": (lambda: ConditionalInvertibleConv(rng(), C, PooledNet(C * C)), True),
    "conv_lu_conditional": (
        lambda: ConditionalInvertibleConvLU(rng(), C, PooledNet(2 * C * C + C)),
        True,
    ),
    "additive": (lambda: AdditiveCoupling(coupling_net(C // 2, C // 2)), False),
    "additive_conditional": (
        lambda: AdditiveCoupling(coupling_net(C // 2 + 2, C // 2), Conv(rng(), 3, 2, 3, 1)),
        True,
    ),
    "affine": (lambda: AffineCoupling(coupling_net(C // 2, C)), False),
    "affine_interleaved": (lambda: AffineCoupling(coupling_net(C // 2, C), interleaved=True), False),
    "affine_limited": (lambda: AffineCoupling(coupling_net(C // 2, C), limit=1.0), False),
    "affine_conditional": (
        lambda: AffineCoupling(coupling_net(C // 2 + 2, C), Conv(rng(), 3, 2, 3, 1), condition_first=True),
        True,
    ),
    "sequence": (mixed_sequence, True),
    "sequence_recompute": (lambda: mixed_sequence("recompute"), True),
    "sequence_reconstruct": (lambda: mixed_sequence("reconstruct"), True),
}
#: one of each kind is enough where every call compiles
GRAPH_OPS = ("actnorm_conditional", "conv_lu_conditional", "split", "sequence_reconstruct")


def sample_inputs(name, conditional, batch):
    channels = {"conv_odd_channels": 3, "conv_lu_odd_channels": 7}.get(name, C)
    size = (2, 4) if name == "squeeze" else (H, W)
    draw = np.random.default_rng(batch)
    x = draw.standard_normal((batch, channels, *size)).astype(np.float32)
    condition = draw.standard_normal((batch, 3, *size)).astype(np.float32) if conditional else None
    return x, condition


def check_op(name, batch):
    make, conditional = OPS[name]
    op = stir(make())
    errors = contract_errors(op, *sample_inputs(name, conditional, batch))
    assert errors["shape"] == 0
    assert errors["round_trip"] < 2e-5, errors
    assert errors["logdet"] < 2e-3, errors
    assert errors["batch"] < 2e-5, errors


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", OPS)
def test_op_keeps_the_contract(name, batch):
    check_op(name, batch)


@pytest.mark.parametrize("name", GRAPH_OPS)
def test_op_keeps_the_contract_compiled(name):
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        check_op(name, 3)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)


class BatchMean(ActNorm):
    """Wrong as the published conditional ops are: every sample gets the mean log-determinant."""

    def transform(self, x, condition, weights, at=0):
        y, logdet = super().transform(x, condition, weights, at)
        return y, logdet + x.mean((1, 2, 3)).mean() - x.mean((1, 2, 3))


class NoPixels(ActNorm):
    """Wrong: the log-determinant of one pixel."""

    def transform(self, x, condition, weights, at=0):
        y, logdet = super().transform(x, condition, weights, at)
        return y, logdet / (x.shape[2] * x.shape[3])


class WrongInverse(AffineCoupling):
    """Wrong: the shift comes off before the scale."""

    def invert(self, y, condition, weights, at=0):
        half = y.shape[1] // 2
        s, _, t = self.scale_and_shift(y[:, :half], condition, weights, at)
        return ops.cat((y[:, :half], (y[:, half:] - t) / s), 1)


class ScalarLogdet(ActNorm):
    """Wrong: no batch axis."""

    def transform(self, x, condition, weights, at=0):
        y, logdet = super().transform(x, condition, weights, at)
        return y, logdet.mean()


@pytest.mark.parametrize(
    ("broken", "caught_by"),
    [
        (lambda: BatchMean(C), "batch"),
        (lambda: NoPixels(C), "logdet"),
        (lambda: WrongInverse(coupling_net(C // 2, C)), "round_trip"),
        (lambda: ScalarLogdet(C), "shape"),
    ],
)
def test_broken_op_is_rejected(broken, caught_by):
    x, _ = sample_inputs("actnorm", False, 3)
    errors = contract_errors(stir(broken(), 0.3), x)
    limits = {"shape": 0.0, "round_trip": 2e-5, "logdet": 2e-3, "batch": 2e-5}
    assert caught_by in {name for name, error in errors.items() if error > limits[name]}, errors


def test_actnorm_initialises_once_from_the_first_batch():
    x = (3.0 * np.random.default_rng(1).standard_normal((4, C, H, W)) + 2.0).astype(np.float32)
    condition = np.random.default_rng(2).standard_normal((4, 3, H, W)).astype(np.float32)
    for op in (
        ActNorm(C),
        ActNorm(C, limit=3.0),
        ConditionalActNorm(PooledNet(2 * C, True)),
        ConditionalActNorm(PooledNet(2 * C, True), limit=3.0),
    ):
        y = op.initialise(Tensor(x), Tensor(condition)).asnumpy()
        np.testing.assert_allclose(y.mean((0, 2, 3)), 0.0, atol=1e-5)
        np.testing.assert_allclose(y.std((0, 2, 3), ddof=1), 1.0, atol=1e-4)
        again = op.initialise(Tensor(x + 5.0), Tensor(condition)).asnumpy()
        assert again.mean((0, 2, 3)).min() > 1.0


def test_squeeze_order_and_odd_sizes():
    x = np.arange(2 * 3 * 4 * 6, dtype=np.float32).reshape(2, 3, 4, 6)
    y, _ = call(Squeeze(), x, None)
    for c in range(3):
        for i in range(2):
            for j in range(2):
                np.testing.assert_array_equal(y[:, 4 * c + 2 * i + j], x[:, c, i::2, j::2])
    check_squeezable(80, 96, 4, last=5)
    with pytest.raises(UserError, match="cannot be halved 4 times"):
        check_squeezable(72, 64, 4)
    with pytest.raises(UserError, match="4x4 in the last of 4 blocks"):
        check_squeezable(64, 64, 4, last=5)


class Objective(nn.Cell):
    """A loss that uses both outputs of an op."""

    def __init__(self, op):
        super().__init__()
        self.op = op

    def construct(self, x, condition):
        y, logdet = self.op(x, condition)
        return (y * y).sum() - logdet.sum()


def sequence_gradients(memory):
    op = stir(mixed_sequence(memory))
    x, condition = sample_inputs("sequence", True, 2)
    trained = ParameterTuple([p for p in op.get_parameters() if p.requires_grad])
    step = ms.value_and_grad(Objective(op), (0, 1), trained)
    value, (inputs, weights) = step(Tensor(x), Tensor(condition))
    return float(value.asnumpy()), [g.asnumpy() for g in (*inputs, *weights)]


def test_all_memory_modes_have_the_same_gradient(mode):
    value, plain = sequence_gradients("store")
    assert len(plain) > 10
    for memory in ("recompute", "reconstruct"):
        other_value, other = sequence_gradients(memory)
        assert abs(other_value - value) < 1e-4 * abs(value)
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=2e-4 * max(1.0, np.abs(a).max()))


def test_drift_is_small_for_a_good_sequence_and_large_for_a_singular_one():
    x, condition = (Tensor(a) for a in sample_inputs("sequence", True, 2))
    good = stir(mixed_sequence("reconstruct"))
    errors = good.drift(x, condition)
    assert len(errors) == len(good.flows)
    assert max(errors) < 1e-4
    nearly_singular = np.eye(C, dtype=np.float32)
    nearly_singular[0, 0] = 1e-9
    conv = InvertibleConv(rng(), C)
    ops.assign(conv.weight, Tensor(nearly_singular.reshape(C, C, 1, 1)))
    rotate = InvertibleConv(np.random.default_rng(3), C)
    assert max(Sequence([rotate, conv, InvertibleConv(np.random.default_rng(4), C)]).drift(x)) > 1e-2


def test_drift_of_what_cannot_be_rebuilt_is_infinite():
    """An op that divides 0 by 0 makes NaN, which a maximum over ops would take for less than anything."""
    x = Tensor(sample_inputs("actnorm", False, 2)[0])
    flat = ActNorm(C)
    ops.assign(flat.scale, ops.zeros_like(flat.scale))
    assert max(Sequence([flat, InvertibleConv(rng(), C)]).drift(x)) == np.inf


def test_split_draws_and_joins():
    split = stir(Split(Conv(rng(), C // 2, C, 3, 1)))
    x = Tensor(sample_inputs("split", False, 2)[0])
    kept, z, log_p = split.divide(x)
    y, logdet = split(x)
    eps = y[:, C // 2 :]
    np.testing.assert_allclose(split.latent(kept, eps).asnumpy(), z.asnumpy(), atol=1e-5)
    np.testing.assert_allclose(split.join(kept, z).asnumpy(), x.asnumpy())
    normal = (-0.5 * np.log(2 * np.pi) - 0.5 * eps.asnumpy().astype(float) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(log_p.asnumpy(), normal + logdet.asnumpy(), rtol=1e-5)
