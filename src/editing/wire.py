"""Messages between page and server: a JSON header followed by arrays, checked before they are used.

A message is four bytes, the length of the header, little endian; the header, JSON, whose ``arrays`` list ``[name, type,
shape]``; then the arrays' bytes in that order. Types are ``u8`` and ``u16``, little endian.
"""

__all__ = ["LONGEST_MESSAGE", "pack", "unpack"]

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..utils.errors import UserError
from .documents import MAX_PIXELS
from .values import read_object

_TYPES: dict[str, np.dtype] = {"u8": np.dtype("u1"), "u16": np.dtype("<u2")}
_NAMES = {np.dtype("u1"): "u8", np.dtype("u2"): "u16"}
_LONGEST_HEADER = 4 << 20
_MOST_ARRAYS = 8
#: most bytes of a message: label and instance map of the largest document
LONGEST_MESSAGE = 4 * MAX_PIXELS + _LONGEST_HEADER


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One message."""
    listed = [[name, _NAMES[array.dtype], list(array.shape)] for name, array in arrays.items()]
    text = json.dumps({**header, "arrays": listed}, allow_nan=False).encode()
    blocks = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
    return b"".join([len(text).to_bytes(4, "little"), text, *blocks])


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a message.

    Raises:
        UserError: the length, the JSON, or a type or shape is wrong.
    """
    length = int.from_bytes(message[:4], "little")
    if len(message) < 4 or length > min(_LONGEST_HEADER, len(message) - 4):
        raise UserError(f"a message of {len(message)} bytes cannot have a header of {length}")
    header = read_object(message[4 : 4 + length], "the header of a message")
    listed = header.pop("arrays", [])
    if not isinstance(listed, list) or len(listed) > _MOST_ARRAYS:
        raise UserError("the header of a message lists no arrays")
    arrays, start = {}, 4 + length
    for entry in listed:
        name, kind, shape = _checked(entry)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if start + size > len(message):
            raise UserError(f"array {name} of a message is shorter than its shape {shape} says")
        arrays[name] = np.frombuffer(message, kind, size // kind.itemsize, start).reshape(shape)
        start += size
    if start != len(message):
        raise UserError(f"a message has {len(message) - start} bytes too many")
    return header, arrays


def _checked(entry: Any) -> tuple[str, np.dtype, tuple[int, ...]]:
    if isinstance(entry, list) and len(entry) == 3:
        name, kind, shape = entry
        if isinstance(name, str) and isinstance(kind, str) and kind in _TYPES and isinstance(shape, list):
            whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= 1 << 16 for n in shape)
            if whole and 2 <= len(shape) <= 3 and shape[0] * shape[1] <= MAX_PIXELS and shape[2:] in ([], [3]):
                return name, _TYPES[kind], tuple(shape)
    raise UserError(f"an array of a message is described as {str(entry)[:80]}: [name, u8 or u16, shape] is expected")
