"""Inverse and log-determinant of matrices in ONNX, which has neither: Gauss-Jordan elimination in a loop."""

__all__ = ["eliminate"]

import numpy as np
from onnx import GraphProto, helper, numpy_helper

from ..utils.errors import UserError
from .builder import BOOL, DOUBLE, FLOAT, INT64, Array, Builder


def eliminate(builder: Builder, matrices: Array) -> tuple[Array, Array]:
    """``(inverse, log |det|)`` of (N, C, C) float64 matrices, with partial pivoting: (N, C, C) and (N,).

    Step k of the loop brings the largest entry of column k at or below row k to row k, divides that row by it and
    clears the column everywhere else; the log-determinant is the sum over the pivots' logarithms.
    """
    count, size, _ = matrices.shape
    if count is None or size is None:
        raise UserError("matrices whose number or size is open cannot be inverted in ONNX: export fixed sizes")
    identity = np.broadcast_to(np.eye(size), (count, size, size))
    wide = builder.add("Concat", [matrices, identity], DOUBLE, (count, size, 2 * size), axis=2)
    start = [builder.constant(size, INT64), builder.constant(True, BOOL), wide, np.zeros(count)]
    results = [(DOUBLE, (count, size, 2 * size)), (DOUBLE, (count,))]
    solved, logdet = builder.add_many("Loop", start, results, body=_body(count, size))
    ends = [np.array([size]), np.array([2 * size]), np.array([2])]
    return builder.add("Slice", [solved, *ends], DOUBLE, (count, size, size)), logdet


def _body(count: int, size: int) -> GraphProto:
    constants = {
        "rows": np.arange(size),
        "minus": np.float64(-1.0),
        "axis_0": np.array([0]),
        "axis_1": np.array([1]),
        "axis_2": np.array([2]),
        "as_row": np.array([1, 1, size]),
    }
    node = helper.make_node
    nodes = [
        node("Unsqueeze", ["k", "axis_0"], ["k1"]),
        node("Equal", ["rows", "k1"], ["is_k"]),
        node("Cast", ["is_k"], ["at_k"], to=DOUBLE),
        node("GreaterOrEqual", ["rows", "k1"], ["below"]),
        node("Gather", ["m", "k"], ["column"], axis=2),
        node("Abs", ["column"], ["sizes"]),
        node("Where", ["below", "sizes", "minus"], ["candidates"]),
        # the largest is looked for in float32, which more devices can do; any large entry is a good pivot
        node("Cast", ["candidates"], ["rough"], to=FLOAT),
        node("ArgMax", ["rough"], ["p"], axis=1, keepdims=1),
        # rows k and p change places: m - d (d' m) with d = e_k - e_p
        node("Equal", ["rows", "p"], ["is_p"]),
        node("Cast", ["is_p"], ["at_p"], to=DOUBLE),
        node("Sub", ["at_k", "at_p"], ["d"]),
        node("Unsqueeze", ["d", "axis_1"], ["d_row"]),
        node("Unsqueeze", ["d", "axis_2"], ["d_column"]),
        node("MatMul", ["d_row", "m"], ["difference"]),
        node("Mul", ["d_column", "difference"], ["exchange"]),
        node("Sub", ["m", "exchange"], ["swapped"]),
        node("Reshape", ["at_k", "as_row"], ["pick_k"]),
        node("MatMul", ["pick_k", "swapped"], ["row"]),
        node("Gather", ["row", "k"], ["pivot"], axis=2),
        node("Unsqueeze", ["pivot", "axis_2"], ["divisor"]),
        node("Div", ["row", "divisor"], ["unit_row"]),
        node("Gather", ["swapped", "k"], ["left"], axis=2),
        node("Sub", ["left", "at_k"], ["factors"]),
        node("Unsqueeze", ["factors", "axis_2"], ["factor_column"]),
        node("Mul", ["factor_column", "unit_row"], ["cleared"]),
        node("Sub", ["swapped", "cleared"], ["m_next"]),
        node("Squeeze", ["pivot", "axis_1"], ["pivots"]),
        node("Abs", ["pivots"], ["pivot_size"]),
        node("Log", ["pivot_size"], ["log_pivot"]),
        node("Add", ["logdet", "log_pivot"], ["logdet_next"]),
        node("Identity", ["go"], ["go_on"]),
    ]
    info = helper.make_tensor_value_info
    wide = [count, size, 2 * size]
    return helper.make_graph(
        nodes,
        "elimination_step",
        [info("k", INT64, []), info("go", BOOL, []), info("m", DOUBLE, wide), info("logdet", DOUBLE, [count])],
        [info("go_on", BOOL, []), info("m_next", DOUBLE, wide), info("logdet_next", DOUBLE, [count])],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
