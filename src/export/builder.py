"""Building an ONNX graph: nodes, constants, and folding of computations that depend on constants only."""

__all__ = ["BOOL", "DOUBLE", "FLOAT", "INT64", "IR_VERSION", "OPSET", "Array", "Builder", "session_of"]

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ..utils.errors import UserError

BOOL, DOUBLE, FLOAT, INT64 = TensorProto.BOOL, TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.INT64
#: 17 has all that the networks need in standard operators, and every ONNX Runtime and TensorRT of recent years reads it
OPSET = 17
IR_VERSION = 8
_PROTOBUF_LIMIT = 2**31 - 2**20
# computed constants that are larger than their inputs stay computations, above this many bytes
_SMALL = 1 << 20
# constants of fewer values are kept once
_SHARED = 64


@dataclass(frozen=True)
class Array:
    """A value of the graph: its name, ONNX's number of its type, its shape with None for sizes known at run time."""

    name: str
    dtype: int
    shape: tuple[int | None, ...]


class Builder:
    """Collects nodes and initializers. Values are :class:`Array`, or numpy arrays and numbers that become constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self._shared: dict[Any, str] = {}
        self._count = 0

    def fresh(self, stem: str) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"{stem}_{self._count}"

    def constant(self, value: Any, dtype: int | None = None, name: str = "") -> Array:
        """An initializer that holds ``value`` as ``dtype`` (None: the type that numpy gives it)."""
        array = np.asarray(value, None if dtype is None else helper.tensor_dtype_to_np_dtype(dtype))
        if not name:
            # axes and numbers are the same few over and over
            key = (array.dtype.str, array.shape, array.tobytes()) if array.size < _SHARED else self._count
            name = self._shared.setdefault(key, self.fresh("constant"))
        self.initializers[name] = array
        return Array(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    def array(self, value: Any, dtype: int | None = None) -> Array:
        """``value`` as an Array; ``dtype`` is given to numbers and asked of computed values."""
        if not isinstance(value, Array):
            return self.constant(value, None if isinstance(value, np.ndarray) else dtype)
        return value if dtype in (None, value.dtype) else self.cast(value, dtype)

    def cast(self, value: Array, dtype: int) -> Array:
        """``value`` converted to ``dtype``."""
        return self.add("Cast", [value], dtype, value.shape, to=dtype)

    def add(
        self, op: str, inputs: Sequence[Any], dtype: int, shape: Sequence[int | None] = (), **attributes: Any
    ) -> Array:
        """One node with one output."""
        return self.add_many(op, inputs, [(dtype, tuple(shape))], **attributes)[0]

    def add_many(self, op: str, inputs: Sequence[Any], outputs: Sequence[tuple], **attributes: Any) -> list[Array]:
        """One node; ``outputs`` are ``(dtype, shape)`` of each of its results."""
        results = [Array(self.fresh(op), dtype, tuple(shape)) for dtype, shape in outputs]
        names = [self.array(x).name for x in inputs]
        self.nodes.append(helper.make_node(op, names, [r.name for r in results], **attributes))
        return results

    # -- finishing ---------------------------------------------------------------------------------------------

    def finish(
        self, inputs: Sequence[tuple[str, int, Sequence]], outputs: Mapping[str, tuple[Array, Sequence]], **about: str
    ) -> onnx.ModelProto:
        """The model. ``inputs`` are ``(name, dtype, shape)``, those that nothing reads are left out; ``outputs`` map
        names to values and shapes; ``about`` is stored as metadata.

        Raises:
            UserError: it does not fit into one file.
        """
        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self._drop_unread(outputs)
        self._fold()
        self._drop_unread(outputs)
        size = sum(a.nbytes for a in self.initializers.values())
        if size > _PROTOBUF_LIMIT:
            raise UserError(f"the weights take {size / 2**30:.1f} GiB, and an ONNX file holds less than 2 GiB")
        read = {name for node in self.nodes for name in node.input}
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(n, d, list(s)) for n, d, s in inputs if n in read],
            [helper.make_tensor_value_info(n, v.dtype, list(s)) for n, (v, s) in outputs.items()],
            [numpy_helper.from_array(np.asarray(a, order="C"), n) for n, a in self.initializers.items()],
        )
        model = _model(graph)
        helper.set_model_props(model, about)
        return model

    def _drop_unread(self, outputs: Iterable[str]) -> None:
        wanted, kept = set(outputs), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                kept.append(node)
                wanted |= set(node.input)
        self.nodes = kept[::-1]
        self.initializers = {name: a for name, a in self.initializers.items() if name in wanted}

    def _fold(self) -> None:
        """Compute what depends on weights alone: inverses and exponentials of matrices, kernels in another layout."""
        known, constant = set(self.initializers), []
        for node in self.nodes:
            if node.op_type != "Identity" and all(name in known for name in node.input):
                constant.append(node)
                known |= set(node.output)
        inside = {id(node) for node in constant}
        read_outside = {name for node in self.nodes if id(node) not in inside for name in node.input}
        # all results of a node, or it would have to stay for the others
        ends = [node for node in constant if read_outside & set(node.output)]
        wanted = [name for node in ends for name in node.output]
        if not wanted:
            return
        read = {name for node in constant for name in node.input}
        graph = helper.make_graph(
            constant,
            "constants",
            [],
            [helper.make_empty_tensor_value_info(name) for name in wanted],
            [numpy_helper.from_array(np.asarray(a, order="C"), n) for n, a in self.initializers.items() if n in read],
        )
        values = session_of(_model(graph).SerializeToString()).run(wanted, {})
        growth = max(_SMALL, sum(self.initializers[n].nbytes for n in read if n in self.initializers))
        folded = dict(zip(wanted, values, strict=True))
        for node in ends:
            if sum(folded[name].nbytes for name in node.output) <= growth:
                self.initializers |= {name: folded[name] for name in node.output}
                inside.remove(id(node))
        done = {id(node) for node in ends} - inside
        self.nodes = [node for node in self.nodes if id(node) not in done]


def session_of(model: bytes | str, providers: Sequence[str] = ("CPUExecutionProvider",)) -> Any:
    """An ONNX Runtime session that reports errors only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=list(providers))


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="MindI2I"
    )
