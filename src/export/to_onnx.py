"""A network's graph as an ONNX model."""

__all__ = ["to_onnx"]

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from ..contracts.passes import Port
from ..utils.errors import UserError
from .builder import Array, Builder
from .graph import Graph
from .primitives import PRIMITIVES


def to_onnx(
    graph: Graph,
    weights: Mapping[str, np.ndarray],
    ports: Sequence[Port],
    outputs: Sequence[str],
    about: Mapping[str, str],
) -> onnx.ModelProto:
    """Translate ``graph`` node by node, with ``weights`` by name.

    Sizes that it leaves open get the names that ``ports`` give them.

    Raises:
        UserError: a primitive without a translation.
    """
    missing = sorted({node.op for node in graph.nodes} - PRIMITIVES.keys())
    if missing:
        raise UserError(f"no ONNX form of {', '.join(missing)} is known: add it to src/export/primitives.py")
    builder = Builder()
    values: dict[str, Any] = dict(graph.constants)
    values |= {key: builder.constant(weights[name], name=name) for key, name in graph.parameters.items()}
    inputs = []
    for port, (name, kind) in zip(ports, graph.inputs.items(), strict=True):
        values[name] = Array(port.name, kind.dtype, kind.shape)
        open_ = zip(kind.shape, port.shape, strict=True)
        inputs.append((port.name, kind.dtype, [wanted if size is None else size for size, wanted in open_]))
    for node in graph.nodes:
        values[node.output] = PRIMITIVES[node.op](builder, node, *(values[name] for name in node.inputs))
    results = {}
    for name, value in zip(outputs, _flat(values[graph.output]), strict=True):
        value = builder.array(value)
        sizes = iter(("height", "width"))
        results[name] = value, [next(sizes) if size is None else size for size in value.shape]
    return builder.finish(inputs, results, **about)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in _flat(item)]
    if not isinstance(value, (Array, np.ndarray)):
        raise UserError(f"the network returns {value!r}, which is not an array")
    return [value]
