"""What every invertible op must satisfy, measured on the op as a black box."""

__all__ = ["contract_errors", "finite_difference_logdet"]

import numpy as np
from mindspore import Tensor, nn

from src.models.flows.op import Inverse


def call(cell: nn.Cell, x: np.ndarray, condition: np.ndarray | None):
    """Outputs of a Cell as numpy."""
    given = () if condition is None else (Tensor(condition),)
    out = cell(Tensor(x), *given)
    return tuple(o.asnumpy() for o in out) if isinstance(out, tuple) else out.asnumpy()


def finite_difference_logdet(op: nn.Cell, x: np.ndarray, condition: np.ndarray | None, step: float = 0.02):
    """``log |det dy/dx|`` of the first sample of ``x`` by central differences, all directions in one
    batch."""
    d = x[0].size
    shifts = step * np.eye(d, dtype=np.float32).reshape(d, *x.shape[1:])
    ys = []
    for sign in (2, 1, -1, -2):
        many = None if condition is None else np.repeat(condition[:1], d, 0)
        ys.append(call(op, x[:1] + sign * shifts, many)[0].reshape(d, d).astype(np.float64))
    jacobian = (8 * (ys[1] - ys[2]) - (ys[0] - ys[3])) / (12 * step)
    return np.linalg.slogdet(jacobian)[1]


def contract_errors(op: nn.Cell, x: np.ndarray, condition: np.ndarray | None = None) -> dict[str, float]:
    """How far an op is from the contract: every entry must be small.

    ``round_trip``: largest error of ``inverse(construct(x))``; ``logdet``: against finite differences of the
    first sample; ``batch``: largest change of a sample's results when it stands alone; ``shape``: 0 or 1.
    """
    y, logdet = call(op, x, condition)
    n = x.shape[0]
    if y.dtype != np.float32 or y.size != x.size or y.shape[0] != n or logdet.shape != (n,):
        return {"shape": 1.0}
    back = call(Inverse(op), y, condition)
    alone_y, alone_logdet = call(op, x[-1:], None if condition is None else condition[-1:])
    expected = finite_difference_logdet(op, x, condition)
    return {
        "shape": float(back.shape != x.shape or back.dtype != np.float32),
        "round_trip": float(np.abs(back - x).max()) if back.shape == x.shape else 1.0,
        "logdet": abs(float(logdet[0]) - expected) / max(1.0, abs(expected)),
        "batch": max(
            float(np.abs(alone_y[0] - y[-1]).max()),
            abs(float(alone_logdet[0] - logdet[-1])) / max(1.0, abs(float(logdet[-1]))),
        ),
    }
