"""MindSpore's primitives in ONNX: one function, or one line of a table, for each that our networks are made of.

A function takes the builder, the node and its inputs: :class:`Array` for what is computed, else the constant itself
(numpy array, number, tuple). It returns the value of the node, or a tuple of values.
"""

__all__ = ["PRIMITIVES"]

from collections.abc import Callable
from typing import Any

import numpy as np

from ..utils.errors import UserError
from .builder import BOOL, DOUBLE, FLOAT, INT64, Array, Builder
from .elimination import eliminate
from .graph import Node

_ALL = np.iinfo(np.int64).max
PRIMITIVES: dict[str, Callable] = {}


def _primitive(*names: str) -> Callable:
    def register(function: Callable) -> Callable:
        PRIMITIVES.update(dict.fromkeys(names, function))
        return function

    return register


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# -- element by element -----------------------------------------------------------------------------------------

_UNARY = {
    "Abs": "Abs", "Ceil": "Ceil", "Exp": "Exp", "Floor": "Floor", "Log": "Log", "LogicalNot": "Not", "Neg": "Neg",
    "ReLU": "Relu", "Sigmoid": "Sigmoid", "Softplus": "Softplus", "Sqrt": "Sqrt", "Tanh": "Tanh",
}  # fmt: skip
_BINARY = {
    "Add": "Add", "Adds": "Add", "Div": "Div", "Divs": "Div", "Equal": "Equal", "Greater": "Greater",
    "LogicalAnd": "And", "Maximum": "Max", "Minimum": "Min", "Mul": "Mul", "Muls": "Mul", "Pow": "Pow", "Sub": "Sub",
    "Subs": "Sub",
}  # fmt: skip


@_primitive(*_UNARY)
def _unary(g: Builder, node: Node, x: Any) -> Array:
    return g.add(_UNARY[node.op], [x], node.kind.dtype, node.kind.shape)


@_primitive(*_BINARY)
def _binary(g: Builder, node: Node, x: Any, y: Any) -> Array:
    # a number takes the type of the other operand, an array
    kinds = [g.array(v).dtype for v in (x, y) if isinstance(v, np.ndarray) or (isinstance(v, Array) and v.shape != ())]
    dtype = kinds[0] if kinds else node.kind.dtype
    return g.add(_BINARY[node.op], [g.array(x, dtype), g.array(y, dtype)], node.kind.dtype, node.kind.shape)


@_primitive("NotEqual")
def _not_equal(g: Builder, node: Node, x: Any, y: Any) -> Array:
    return g.add("Not", [g.add("Equal", [x, y], BOOL, node.kind.shape)], BOOL, node.kind.shape)


_SCALAR = {"ScalarAdd": "Add", "ScalarDiv": "Div", "ScalarMul": "Mul", "ScalarPow": "Pow", "ScalarSub": "Sub"}


@_primitive(*_SCALAR)
def _scalar(g: Builder, node: Node, x: Any, y: Any) -> Array:
    dtype = node.kind.dtype
    return g.add(_SCALAR[node.op], [g.array(x, dtype), g.array(y, dtype)], dtype)


@_primitive("ClampScalar")
def _clamp(g: Builder, node: Node, x: Array, low: float, high: float) -> Array:
    bounds = [g.constant(v, x.dtype) for v in (low, high)]
    return g.add("Clip", [x, *bounds], x.dtype, x.shape)


@_primitive("Cast")
def _cast(g: Builder, node: Node, x: Any, _: Any) -> Array:
    return g.cast(g.array(x), node.kind.dtype)


@_primitive("Softmax")
def _softmax(g: Builder, node: Node, x: Any, axis: Any) -> Array:
    axis = axis[0] if isinstance(axis, tuple) else axis
    return g.add("Softmax", [x], node.kind.dtype, node.kind.shape, axis=axis)


# -- identities -------------------------------------------------------------------------------------------------


@_primitive("Load", "Depend", "StopGradient")
def _same(g: Builder, node: Node, x: Any, *_: Any) -> Any:
    return x


@_primitive("UpdateState")
def _nothing(g: Builder, node: Node, *_: Any) -> None:
    return None


@_primitive("MakeTuple", "make_list", "MakeList")
def _tuple(g: Builder, node: Node, *items: Any) -> tuple:
    return items


@_primitive("TupleGetItem", "list_getitem")
def _item(g: Builder, node: Node, items: tuple, index: int) -> Any:
    return items[index]


# -- shapes -----------------------------------------------------------------------------------------------------


def _sizes(g: Builder, sizes: tuple) -> Array:
    """Sizes, some of them computed, as one vector."""
    if not any(isinstance(s, Array) for s in sizes):
        return g.constant(_ints(*sizes))
    parts = [
        g.add("Unsqueeze", [g.array(s, INT64), _ints(0)], INT64, (1,)) if isinstance(s, Array) else _ints(s)
        for s in sizes
    ]
    return g.add("Concat", parts, INT64, (len(parts),), axis=0)


def _shape_of(g: Builder, x: Array) -> Array:
    known = [size for size in x.shape if size is not None]
    if len(known) < len(x.shape):
        return g.add("Shape", [x], INT64, (len(x.shape),))
    return g.constant(_ints(*known))


@_primitive("Shape")
def _shape(g: Builder, node: Node, x: Any) -> tuple:
    x = g.array(x)
    if None not in x.shape:
        return x.shape
    vector = _shape_of(g, x)
    return tuple(
        g.add("Gather", [vector, np.array(i)], INT64) if size is None else size for i, size in enumerate(x.shape)
    )


@_primitive("Reshape")
def _reshape(g: Builder, node: Node, x: Any, sizes: tuple) -> Array:
    return g.add("Reshape", [x, _sizes(g, sizes)], node.kind.dtype, node.kind.shape)


@_primitive("ExpandDims")
def _expand(g: Builder, node: Node, x: Any, axis: int) -> Array:
    return g.add("Unsqueeze", [x, _ints(axis)], node.kind.dtype, node.kind.shape)


@_primitive("Squeeze")
def _squeeze(g: Builder, node: Node, x: Any, axis: Any) -> Array:
    axes = axis if isinstance(axis, tuple) else (axis,)
    return g.add("Squeeze", [x, _ints(*axes)], node.kind.dtype, node.kind.shape)


@_primitive("Transpose")
def _transpose(g: Builder, node: Node, x: Any, order: tuple) -> Array:
    return g.add("Transpose", [x], node.kind.dtype, node.kind.shape, perm=list(order))


@_primitive("BroadcastTo")
def _broadcast(g: Builder, node: Node, x: Any, sizes: tuple) -> Array:
    # -1 keeps a size, as 1 does in ONNX
    sizes = tuple(1 if s == -1 else s for s in sizes)
    return g.add("Expand", [x, _sizes(g, sizes)], node.kind.dtype, node.kind.shape)


@_primitive("Tile")
def _tile(g: Builder, node: Node, x: Any, times: tuple) -> Array:
    return g.add("Tile", [x, _sizes(g, times)], node.kind.dtype, node.kind.shape)


@_primitive("Concat")
def _concat(g: Builder, node: Node, parts: tuple, axis: int) -> Array:
    return g.add("Concat", parts, node.kind.dtype, node.kind.shape, axis=axis)


@_primitive("Stack")
def _stack(g: Builder, node: Node, parts: tuple) -> Array:
    axis = node.attributes["axis"]
    rows = [g.add("Unsqueeze", [p, _ints(axis)], node.kind.dtype) for p in parts]
    return g.add("Concat", rows, node.kind.dtype, node.kind.shape, axis=axis)


@_primitive("Split")
def _split(g: Builder, node: Node, x: Any, axis: int, count: int) -> tuple:
    return tuple(g.add_many("Split", [x], [(k.dtype, k.shape) for k in node.kind], axis=axis))


@_primitive("StridedSlice")
def _slice(g: Builder, node: Node, x: Any, begin: tuple, end: tuple, step: tuple, *masks: int) -> Array:
    from_start, to_end, ellipsis, new_axis, shrunk = masks
    if ellipsis or new_axis:
        raise UserError(f"a slice with an ellipsis or a new axis ({node.output}) cannot become ONNX")
    x = g.array(x)
    cuts: list[tuple[int, Any, Any, int]] = []
    for axis in range(len(begin)):
        first = 0 if from_start >> axis & 1 else begin[axis]
        last = _ALL if to_end >> axis & 1 else end[axis]
        whole = last == _ALL or (not isinstance(last, Array) and last == x.shape[axis])
        if first == 0 and whole and step[axis] == 1 and not shrunk >> axis & 1:
            continue
        cuts.append((axis, first, last, step[axis]))
    if cuts:
        axes, starts, ends, steps = zip(*cuts, strict=True)
        bounds = [_sizes(g, starts), _sizes(g, ends), _ints(*axes), _ints(*steps)]
        x = g.add("Slice", [x, *bounds], node.kind.dtype, node.kind.shape)
    gone = [axis for axis in range(len(begin)) if shrunk >> axis & 1]
    return g.add("Squeeze", [x, _ints(*gone)], node.kind.dtype, node.kind.shape) if gone else x


def _filled(g: Builder, node: Node, sizes: Array, value: float) -> Array:
    one = g.constant(np.array([value]), node.kind.dtype)
    return g.add("Expand", [one, sizes], node.kind.dtype, node.kind.shape)


@_primitive("ZerosLike", "OnesLike")
def _like(g: Builder, node: Node, x: Any) -> Array:
    return _filled(g, node, _shape_of(g, g.array(x)), float(node.op == "OnesLike"))


@_primitive("Ones", "Zeros")
def _full(g: Builder, node: Node, sizes: tuple, _: Any) -> Array:
    return _filled(g, node, _sizes(g, sizes), float(node.op == "Ones"))


@_primitive("Eye")
def _eye(g: Builder, node: Node, rows: int, columns: int, _: Any) -> Array:
    return g.constant(np.eye(rows, columns), node.kind.dtype)


# -- sums and products ------------------------------------------------------------------------------------------


@_primitive("ReduceSum", "SumExt", "ReduceMean", "MeanExt")
def _reduce(g: Builder, node: Node, x: Any, axes: Any, keep: bool, *_: Any) -> Array:
    x = g.array(x)
    axes = axes if isinstance(axes, tuple) else () if axes is None else (axes,)
    axes = list(axes or range(len(x.shape)))
    if node.op in ("ReduceSum", "SumExt"):
        return g.add("ReduceSum", [x, _ints(*axes)], node.kind.dtype, node.kind.shape, keepdims=int(keep))
    return g.add("ReduceMean", [x], node.kind.dtype, node.kind.shape, axes=axes, keepdims=int(keep))


@_primitive("MatMul", "BatchMatMul", "MatMulExt")
def _matmul(g: Builder, node: Node, x: Any, y: Any, turn_x: bool = False, turn_y: bool = False) -> Array:
    factors = []
    for value, turn in ((g.array(x), turn_x), (g.array(y), turn_y)):
        if turn:
            order = list(range(len(value.shape)))
            order[-2:] = order[:-3:-1]
            value = g.add("Transpose", [value], value.dtype, [value.shape[i] for i in order], perm=order)
        factors.append(value)
    return g.add("MatMul", factors, node.kind.dtype, node.kind.shape)


@_primitive("BiasAdd")
def _bias(g: Builder, node: Node, x: Array, bias: Any, *_: Any) -> Array:
    column = (-1,) + (1,) * (len(x.shape) - 2)
    bias = g.add("Reshape", [bias, _ints(*column)], x.dtype, (x.shape[1], *column[1:]))
    return g.add("Add", [x, bias], x.dtype, x.shape)


@_primitive("MatrixInverse")
def _inverse(g: Builder, node: Node, x: Any) -> Array:
    if node.attributes.get("adjoint"):
        raise UserError("an adjoint inverse cannot become ONNX")
    return g.cast(eliminate(g, g.array(x, DOUBLE))[0], node.kind.dtype)


@_primitive("LogMatrixDeterminant")
def _logdet(g: Builder, node: Node, x: Any) -> tuple:
    # the sign, the first of the two, is not used
    return None, g.cast(eliminate(g, g.array(x, DOUBLE))[1], node.kind[1].dtype)


@_primitive("Gather")
def _gather(g: Builder, node: Node, x: Any, index: Any, axis: int, batch_dims: int = 0) -> Array:
    if batch_dims:
        raise UserError("a gather over batches cannot become ONNX")
    return g.add("Gather", [x, index], node.kind.dtype, node.kind.shape, axis=axis)


@_primitive("UnsortedSegmentSum")
def _segment_sum(g: Builder, node: Node, x: Any, segments: Any, count: int) -> Array:
    rows = g.add("Unsqueeze", [g.array(segments, INT64), _ints(-1)], INT64)
    zeros = g.constant(np.zeros(node.kind.shape), node.kind.dtype)
    return g.add("ScatterND", [zeros, rows, x], node.kind.dtype, node.kind.shape, reduction="add")


# -- layers -----------------------------------------------------------------------------------------------------


def _pads(node: Node) -> list[int]:
    """MindSpore's (top, bottom, left, right) as ONNX's (top, left, bottom, right), for any number of axes."""
    pads = node.attributes["pad_list"]
    return [*pads[0::2], *pads[1::2]]


@_primitive("Conv2D")
def _conv(g: Builder, node: Node, x: Any, weight: Any) -> Array:
    own = node.attributes
    return g.add(
        "Conv", [x, weight], node.kind.dtype, node.kind.shape, pads=_pads(node), group=own["group"],
        strides=list(own["stride"][-2:]), dilations=list(own["dilation"][-2:]),
    )  # fmt: skip


@_primitive("Conv2DTranspose", "Conv2DBackpropInput")
def _deconv(g: Builder, node: Node, x: Any, weight: Any, _: Any) -> Array:
    own = node.attributes
    return g.add(
        "ConvTranspose", [x, weight], node.kind.dtype, node.kind.shape, pads=_pads(node), group=own["group"],
        strides=list(own["stride"][-2:]), dilations=list(own["dilation"][-2:]),
    )  # fmt: skip


@_primitive("MirrorPad")
def _mirror(g: Builder, node: Node, x: Any, pads: np.ndarray) -> Array:
    if node.attributes["mode"] != "REFLECT":
        raise UserError(f"padding of kind {node.attributes['mode']} cannot become ONNX")
    return g.add("Pad", [x, _ints(*pads.T.reshape(-1))], node.kind.dtype, node.kind.shape, mode="reflect")


@_primitive("Pad")
def _zeros_around(g: Builder, node: Node, x: Any) -> Array:
    pads = np.transpose(node.attributes["paddings"]).reshape(-1)
    return g.add("Pad", [x, _ints(*pads)], node.kind.dtype, node.kind.shape)


# MindSpore's numbers of pad_mode 'same' and 'valid'
_AUTO_PAD = {1: "SAME_UPPER", 2: "VALID"}


@_primitive("AvgPool")
def _mean_pool_2d(g: Builder, node: Node, x: Any, kernel: tuple, strides: tuple, pad_mode: int, _: Any) -> Array:
    return g.add(
        "AveragePool", [x], node.kind.dtype, node.kind.shape, kernel_shape=list(kernel), strides=list(strides),
        auto_pad=_AUTO_PAD[pad_mode],
    )  # fmt: skip


@_primitive("AvgPool3D")
def _mean_pool(g: Builder, node: Node, x: Any) -> Array:
    own = node.attributes
    return g.add(
        "AveragePool", [x], node.kind.dtype, node.kind.shape, pads=_pads(node),
        kernel_shape=list(own["kernel_size"][-3:]), strides=list(own["strides"][-3:]),
        count_include_pad=int(own["count_include_pad"]), ceil_mode=int(own["ceil_mode"]),
    )  # fmt: skip


@_primitive("BatchNorm")
def _batch_norm(g: Builder, node: Node, x: Any, *rest: Any) -> tuple:
    eps = node.attributes.get("epsilon", rest[5] if len(rest) > 5 else None)
    y = g.add("BatchNormalization", [x, *rest[:4]], node.kind[0].dtype, node.kind[0].shape, epsilon=eps)
    return (y,)


@_primitive("GroupNorm")
def _group_norm(g: Builder, node: Node, x: Array, groups: int, weight: Any, bias: Any, eps: Any) -> tuple:
    kind, channels = node.kind[0], x.shape[1]
    if groups == channels and not isinstance(eps, Array):
        return (g.add("InstanceNormalization", [x, weight, bias], kind.dtype, kind.shape, epsilon=eps),)
    rows = g.add("Reshape", [x, _ints(0, groups, -1)], FLOAT, (x.shape[0], groups, None))
    mean: dict[str, Any] = {"dtype": FLOAT, "shape": (x.shape[0], groups, 1), "axes": [2], "keepdims": 1}
    centred = g.add("Sub", [rows, g.add("ReduceMean", [rows], **mean)], FLOAT, rows.shape)
    variance = g.add("ReduceMean", [g.add("Mul", [centred, centred], FLOAT, rows.shape)], **mean)
    deviation = g.add("Sqrt", [g.add("Add", [variance, g.array(eps, FLOAT)], FLOAT)], FLOAT)
    normal = g.add("Div", [centred, deviation], FLOAT, rows.shape)
    y = g.add("Reshape", [normal, _shape_of(g, x)], FLOAT, kind.shape)
    column = _ints(-1, *[1] * (len(x.shape) - 2))
    scale, shift = (g.add("Reshape", [v, column], FLOAT) for v in (weight, bias))
    return (g.add("Add", [g.add("Mul", [y, scale], FLOAT, kind.shape), shift], FLOAT, kind.shape),)
