"""Inverse and log-determinant in ONNX against numpy."""

import numpy as np
import pytest

from src.export.builder import DOUBLE, Array, Builder, session_of
from src.export.elimination import eliminate
from src.utils.errors import UserError


def test_inverse_and_determinant():
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((6, 7, 7))
    # no elimination gets through these without exchanging rows
    matrices[0] = np.eye(7)[rng.permutation(7)]
    matrices[1, 0, 0] = 0.0
    matrices[2] = np.diag(10.0 ** np.arange(-3, 4))[::-1]
    builder = Builder()
    inverse, logdet = eliminate(builder, Array("m", DOUBLE, matrices.shape))
    outputs = {"inverse": (inverse, inverse.shape), "logdet": (logdet, logdet.shape)}
    model = builder.finish([("m", DOUBLE, matrices.shape)], outputs)
    got = session_of(model.SerializeToString()).run(None, {"m": matrices})
    np.testing.assert_allclose(got[0], np.linalg.inv(matrices), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got[1], np.linalg.slogdet(matrices)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(None, 7, 7), (6, None, None)])
def test_an_open_number_or_size_of_matrices_is_refused(shape):
    with pytest.raises(UserError, match="cannot be inverted in ONNX: export fixed sizes"):
        eliminate(Builder(), Array("m", DOUBLE, shape))


def test_what_depends_on_constants_alone_is_computed_beforehand():
    builder = Builder()
    inverse, _ = eliminate(builder, builder.constant(np.diag([2.0, 4.0])[None]))
    y = builder.add("MatMul", [inverse, Array("x", DOUBLE, (1, 2, 3))], DOUBLE, (1, 2, 3))
    model = builder.finish([("x", DOUBLE, (1, 2, 3))], {"y": (y, y.shape)}, about="it")
    assert [node.op_type for node in model.graph.node] == ["MatMul", "Identity"]
    got = session_of(model.SerializeToString()).run(None, {"x": np.ones((1, 2, 3))})[0]
    np.testing.assert_allclose(got[0], [[0.5] * 3, [0.25] * 3])
