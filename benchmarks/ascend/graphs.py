"""What MindSpore's final graph launches on Ascend, and what each kernel must move and multiply.

MindSpore prints that graph after its pass ``graph_before_reset_id``: the nodes in the order in which they run, with the
types and shapes of their operands. A node without types of a kernel (``Load``, ``TupleGetItem``, ``Depend``, ...) is
bookkeeping and launches nothing.

* Bytes: every tensor that a kernel reads and every one that it writes counts once, at the size of its type and shape,
  without what a device format pads. Views (``Reshape``, ``ExpandDims``, ``Squeeze``, ``Flatten``) move nothing. Where
  only a part of an operand is touched (slices, ``Gather``, ``Assign``, ``ScatterUpdate``), only that part counts.
* Multiply-adds: those of convolutions (forward and both gradients) and matrix products, borders of zeros included.
  Inverses and determinants, pooling and everything element by element count none.
"""

__all__ = ["PASS", "Kernel", "read_graph"]

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

#: the pass after which MindSpore prints the graph that runs
PASS = "graph_before_reset_id"

_NODE = re.compile(r"  %\d+\(.*?\) = (?:PrimFunc_)?(\w+)\(")
# a line of a node's types: "      : (inputs) -> (outputs)"
_TYPES = "      : ("
_OPERAND = re.compile(r"<(\w+)x[A-Z]\w*\[const vector\]\{([^}]*)\}>")
_SIZES = {"Bool": 1, "Int8": 1, "UInt8": 1, "Int16": 2, "Float16": 2, "BFloat16": 2, "Int32": 4, "Float32": 4}
_VIEWS = {"Reshape", "ExpandDims", "Squeeze", "Flatten"}
# what they read of their first operand is what they write
_PARTS = {"StridedSlice", "Slice", "Gather"}
# their last operand goes into the first, of which they read nothing and change no more than that
_INTO = {"Assign", "ScatterUpdate"}
_PRODUCTS = {"MatMul", "BatchMatMul", "MatMulExt", "BatchMatMulExt", "Dense"}


@dataclass(frozen=True)
class Kernel:
    """One node of a graph.

    Attributes:
        operator: MindSpore's name of it.
        read, written: bytes.
        multiply_adds: of a convolution or matrix product.
    """

    operator: str
    read: int = 0
    written: int = 0
    multiply_adds: int = 0

    @property
    def is_view(self) -> bool:
        """Whether nothing is launched."""
        return self.operator in _VIEWS


@dataclass(frozen=True)
class _Tensor:
    type: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return prod(self.shape) * _SIZES.get(self.type, 8)


def read_graph(path: Path) -> list[Kernel]:
    """The kernels of the graph that MindSpore printed to ``path``, views among them."""
    return [
        _kernel(operator, head, types[1], types[2] if len(types) > 2 else "")
        for operator, head, types in _nodes(path)
        if len(types) > 1 and _OPERAND.search(types[1]) and operator != "MakeTuple"
    ]


def _nodes(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Operator, call and lines of types of each node; constants can break a call over several lines."""
    operator, head, types = "", "", list[str]()
    with path.open(errors="replace") as stream:
        for line in stream:
            if match := _NODE.match(line):
                if operator:
                    yield operator, head, types
                operator, head, types = match[1], line[match.end() :], []
            elif line.startswith(_TYPES):
                types.append(line)
            elif not types:
                head += line
    if operator:
        yield operator, head, types


def _kernel(operator: str, head: str, types: str, objects: str) -> Kernel:
    if operator in _VIEWS:
        return Kernel(operator)
    before, _, after = types.partition(") -> (")
    words = _arguments(head)
    inputs = _tensors(before)
    # numbers and tuples are part of the launch and in no memory of the device
    kinds = objects.strip().removeprefix(": (").partition(") -> (")[0].split(", ")
    places = [place for place, kind in enumerate(kinds) if kind == "Tensor"]
    # a tensor that is given twice is read once
    read = [0 if _given(words, place) else inputs[place].bytes for place in places]
    outputs = _tensors(after)
    written = sum(tensor.bytes for tensor in outputs)
    if operator in _PARTS:
        read[0] = min(read[0], written)
    elif operator in _INTO:
        read, written = read[1:], read[-1]
    return Kernel(operator, sum(read), written, _multiply_adds(operator, inputs, outputs, words))


def _given(words: list[str], place: int) -> bool:
    return words[place].startswith("%") and words[place] in words[:place]


def _tensors(text: str) -> list[_Tensor]:
    return [
        _Tensor(kind, tuple(int(side) for side in shape.split(",") if side)) for kind, shape in _OPERAND.findall(text)
    ]


def _arguments(head: str) -> list[str]:
    """The words between the brackets of a call, split at its own commas."""
    words, depth, start = [], 0, 0
    for place, letter in enumerate(head):
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if depth < 0 or (letter == "," and depth == 0):
            words.append(head[start:place].strip())
            start = place + 1
        if depth < 0:
            break
    return words


def _multiply_adds(operator: str, inputs: list[_Tensor], outputs: list[_Tensor], words: list[str]) -> int:
    if operator == "Conv2D":
        result, weight = outputs[0].shape, inputs[1].shape
    elif operator == "Conv2DBackpropInput":
        result, weight = inputs[0].shape, inputs[1].shape
    elif operator == "Conv2DBackpropFilter":
        result, weight = inputs[0].shape, outputs[0].shape
    elif operator in _PRODUCTS:
        left = inputs[0].shape
        # MatMul and BatchMatMul say which of their operands are transposed
        transposed = len(words) > 2 and words[2] == "Bool(1)"
        return prod(outputs[0].shape) * left[-2 if transposed else -1]
    else:
        return 0
    # every filter meets every place of the result: N x H x W times the weight's O x I/groups x KH x KW
    return result[0] * prod(result[2:]) * prod(weight)
