"""Reading MindSpore's own description of a network: the compiled graph inside a MINDIR file.

MindSpore's ONNX writer stops at operators that our networks are made of (mirror padding, group norm, ones that are
measured at run time) and at flexible sizes, and what it writes for transposed convolutions no runtime accepts. The
MINDIR writer supports every operator: its file is a flat list of primitives with their attributes, types and shapes. So
ONNX files are translated from MINDIR, and networks need no second implementation for export.
"""

__all__ = ["Graph", "Kind", "Node", "read_graph"]

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.train import mind_ir_pb2 as ir

from ..utils.errors import UserError

# MindSpore numbers types as ONNX does, with one more for float64
_FLOAT64 = 17
_DOUBLE = 11
_ARRAY_TYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64,
}  # fmt: skip
_BY_TYPE = ir.AttributeProto.AttributeType
_INTEGERS = {_BY_TYPE.Value(n) for n in ("UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "UINT32", "UINT64")}


@dataclass(frozen=True)
class Kind:
    """ONNX's number of the element type, and the shape; None is a size that is known only at run time."""

    dtype: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Node:
    """One primitive: its MindSpore name, names of its inputs, its attributes, and its result.

    ``kind`` is a :class:`Kind`, or a tuple of them where a primitive returns several values.
    """

    op: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]
    kind: Any


@dataclass(frozen=True)
class Graph:
    """A network in the order of computation.

    ``constants`` holds arrays, numbers, texts, and tuples of them; ``parameters`` maps a weight to its name in
    the Cell.
    """

    inputs: dict[str, Kind]
    parameters: dict[str, str]
    constants: dict[str, Any]
    nodes: tuple[Node, ...]
    output: str


def read_graph(path: Path) -> Graph:
    """Read the graph of a MINDIR file that MindSpore has just written, without its weights.

    Raises:
        UserError: the network branches at run time.
    """
    model = ir.ModelProto()
    model.ParseFromString(Path(path).read_bytes())
    if model.functions:
        raise UserError(f"{path.name} has {len(model.functions)} branches or loops of its own: it cannot become ONNX")
    graph = model.graph
    constants: dict[str, Any] = {}
    primitives = {p.name: p for p in model.primitives}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _value(node.attribute[0])
            continue
        primitive = primitives.get(node.op_type.removeprefix("REF::"))
        own = {a.name: a for a in node.attribute}
        attributes = {a.name: _value(a) for a in primitive.attribute} if primitive else {}
        op = primitive.op_type if primitive else node.op_type
        kind = _kind(own["shape"]) if "shape" in own else None
        nodes.append(Node(op, tuple(node.input), node.output[0], attributes, kind))
    inputs = {i.name: _tensor_kind(i.tensor[0]) for i in graph.input}
    parameters = {p.name: p.name.partition(":")[2] for p in graph.parameter}
    return Graph(inputs, parameters, constants, tuple(nodes), graph.output[0].name)


def _value(attribute: Any) -> Any:
    kind = attribute.type
    if kind in _INTEGERS:
        # a single value, or one of a list
        return int(attribute.ints[0]) if attribute.ints else int(attribute.i)
    if kind == _BY_TYPE.Value("BOOL"):
        return bool(attribute.ints[0] if attribute.ints else attribute.i)
    if kind == _BY_TYPE.Value("FLOAT"):
        return float(attribute.floats[0] if attribute.floats else attribute.f)
    if kind == _BY_TYPE.Value("DOUBLE"):
        return float(attribute.doubles[0] if attribute.doubles else attribute.d)
    if kind == _BY_TYPE.Value("STRING"):
        return (attribute.strings[0] if attribute.strings else attribute.s).decode()
    if kind in (_BY_TYPE.Value("TENSORS"), _BY_TYPE.Value("TENSOR")):
        return _array(attribute.tensors[0] if attribute.tensors else attribute.t)
    if kind in (_BY_TYPE.Value("TUPLE"), _BY_TYPE.Value("LIST")):
        return tuple(_value(v) for v in attribute.values)
    # monads, which only order side effects, and None
    return None


def _array(tensor: Any) -> np.ndarray:
    kind = _DOUBLE if tensor.data_type == _FLOAT64 else tensor.data_type
    if kind not in _ARRAY_TYPES:
        raise UserError(f"a constant of type {ir.TensorProto.DataType.Name(tensor.data_type)} cannot become ONNX")
    return np.frombuffer(tensor.raw_data, _ARRAY_TYPES[kind]).reshape(tuple(tensor.dims))


def _kind(attribute: Any) -> Any:
    if attribute.type in (_BY_TYPE.Value("TUPLE"), _BY_TYPE.Value("LIST")):
        return tuple(_kind(v) for v in attribute.values)
    if not attribute.tensors:
        return None
    if attribute.type == _BY_TYPE.Value("SCALAR"):
        return Kind(_tensor_kind(attribute.tensors[0]).dtype, ())
    return _tensor_kind(attribute.tensors[0])


def _tensor_kind(tensor: Any) -> Kind:
    dtype = _DOUBLE if tensor.data_type == _FLOAT64 else tensor.data_type
    return Kind(dtype, tuple(None if size < 0 else int(size) for size in tensor.dims))
