"""Read MindSpore's ``.ckpt`` files without MindSpore, whose reader trusts the sizes in a file.

Such a file is a message of Protocol Buffers, with these fields (``mindspore.train.checkpoint_pb2``):

    file       1: parameter, repeated
    parameter  1: name, 2: tensor, 3: map
    tensor     1: length of a dimension, repeated, 2: name of the type, 3: numbers, little-endian

Behind it are the word ``crc_num`` and a checksum, where ``save_checkpoint`` was asked for one.

A parameter of more than 512 MiB comes in pieces: parameters of the same name, type and shape in a row.
"""

__all__ = ["read_ckpt"]

import itertools
import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import numpy as np

from .errors import UserError, shown
from .files import explain_os_error, open_regular
from .foreign import check_name, decode_numbers, describe_head, item_size

_TYPES = {
    "Bool": "bool",
    "Int8": "int8",
    "Int16": "int16",
    "Int32": "int32",
    "Int64": "int64",
    "UInt8": "uint8",
    "UInt16": "uint16",
    "UInt32": "uint32",
    "UInt64": "uint64",
    "Float16": "float16",
    "Float32": "float32",
    "Float64": "float64",
    "BFloat16": "bfloat16",
}
# a string that was saved with the parameters; it is not an array
_TEXT = "str"
_MAX_PARAMETERS = 100_000
_MAX_DIMENSIONS = 8
# most bytes of the name of a parameter and of a type; real names are far shorter
_MAX_NAME = 4000
_CHECKSUM = b"crc_num"
_CHECKSUM_LENGTH = len(_CHECKSUM) + 10
# first bytes of encrypted files, one for each cipher mode
_ENCRYPTED = b"^:\x7f"
_CHUNK = 16 << 20
_VARINT, _BYTES = 0, 2


@dataclass
class _Tensor:
    """Type, shape and the places (start, length) of the pieces in the file."""

    kind: str = ""
    shape: tuple[int, ...] = ()
    pieces: list[tuple[int, int]] = field(default_factory=list)


def read_ckpt(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return every parameter in a file of ``mindspore.save_checkpoint`` under its name.

    bfloat16 becomes float32; every other type (bool, integers of 8 to 64 bits, float16 to float64) stays. Texts that
    were saved beside the parameters are left out. The checksum is verified where there is one.

    Raises:
        UserError: the file cannot be read, is damaged, cut short or encrypted, claims impossible sizes, or holds map
            parameters or numbers of another type.
    """
    path = Path(path)
    try:
        with open_regular(path) as stream:
            _check_head(stream.read(512), path)
            tensors = _tensors(stream, _end(stream), path)
            arrays = {name: _array(stream, name, tensor) for name, tensor in tensors.items() if tensor.kind != _TEXT}
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    except (MemoryError, OverflowError, ValueError) as error:
        raise UserError(
            f"{path} is damaged, truncated or no checkpoint of MindSpore ({shown(str(error), 300)}): "
            "download or copy it again"
        ) from error
    if not arrays:
        raise UserError(f"{path} is a checkpoint of MindSpore without any parameter: use another file")
    return arrays


def _check_head(head: bytes, path: Path) -> None:
    if head[1:4] == _ENCRYPTED:
        raise UserError(f"{path} is encrypted: save it anew with mindspore.save_checkpoint without enc_key")
    guess = describe_head(head)
    if guess:
        raise UserError(f"{path} is not a checkpoint of MindSpore: {guess}: download it again or use another one")


def _end(stream: BufferedReader) -> int:
    """Position of the end of the message: the end of the file, or the checksum, which is then verified."""
    size = os.fstat(stream.fileno()).st_size
    end = max(size - _CHECKSUM_LENGTH, 0)
    stream.seek(end)
    tail = stream.read(_CHECKSUM_LENGTH)
    if not tail.startswith(_CHECKSUM):
        return size
    stream.seek(0)
    found = 0
    for start in range(0, end, _CHUNK):
        found = zlib.crc32(stream.read(min(_CHUNK, end - start)), found)
    if found != int.from_bytes(tail[len(_CHECKSUM) :], "big"):
        raise ValueError("its checksum is wrong")
    return end


def _fields(stream: BufferedReader, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, kind, start, length) of each field of the message there; a number has its value instead of a length."""
    while start < end:
        stream.seek(start)
        key, value = _number(stream), _number(stream)
        if key & 7 not in (_VARINT, _BYTES):
            raise ValueError("it has a field of an unknown kind")
        start = stream.tell()
        behind = start + (value if key & 7 == _BYTES else 0)
        if behind > end:
            raise ValueError("a field is longer than what it is part of")
        yield key >> 3, key & 7, start, value
        start = behind


def _number(stream: BufferedReader) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = stream.read(1)
        if not byte:
            raise ValueError("it ends within a number")
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("a number has more than 64 bits")


def _text(stream: BufferedReader, length: int) -> str:
    if length > _MAX_NAME:
        raise ValueError(f"a name has {length} bytes")
    return stream.read(length).decode()


def _tensors(stream: BufferedReader, end: int, path: Path) -> dict[str, _Tensor]:
    tensors: dict[str, _Tensor] = {}
    last = None
    for count, (number, kind, start, length) in enumerate(_fields(stream, 0, end)):
        if count >= _MAX_PARAMETERS:
            raise ValueError(f"it holds more than {_MAX_PARAMETERS} parameters")
        if (number, kind) != (1, _BYTES):
            raise ValueError("it has something other than parameters")
        name, tensor = _parameter(stream, start, start + length)
        check_name(name, path)
        if name not in tensors:
            tensors[name] = tensor
        elif name != last or (tensor.kind, tensor.shape) != (tensors[name].kind, tensors[name].shape):
            raise ValueError(f"{name} occurs twice")
        else:
            tensors[name].pieces += tensor.pieces
        last = name
    return tensors


def _parameter(stream: BufferedReader, start: int, end: int) -> tuple[str, _Tensor]:
    name = tensor = None
    for number, kind, place, length in _fields(stream, start, end):
        if (number, kind) == (1, _BYTES):
            name = _text(stream, length)
        elif (number, kind) == (2, _BYTES):
            tensor = _tensor(stream, place, place + length)
        else:
            raise ValueError("it holds a parameter that is not a tensor")
    if not name or tensor is None:
        raise ValueError("it holds a parameter without a name or a value")
    return name, tensor


def _tensor(stream: BufferedReader, start: int, end: int) -> _Tensor:
    tensor = _Tensor()
    for number, kind, place, length in _fields(stream, start, end):
        if (number, kind) == (1, _VARINT):
            tensor.shape += (length,)
        elif (number, kind) == (2, _BYTES):
            tensor.kind = _text(stream, length)
        elif (number, kind) == (3, _BYTES) and not tensor.pieces:
            tensor.pieces.append((place, length))
        else:
            raise ValueError("it holds a tensor with an unknown field")
        if len(tensor.shape) > _MAX_DIMENSIONS:
            raise ValueError(f"it holds a tensor of more than {_MAX_DIMENSIONS} dimensions")
    return tensor


def _array(stream: BufferedReader, name: str, tensor: _Tensor) -> np.ndarray:
    if tensor.kind not in _TYPES:
        raise ValueError(f"{name} holds numbers of the type {shown(tensor.kind)}")
    dtype, shape = _TYPES[tensor.kind], tensor.shape
    size = sum(length for _, length in tensor.pieces)
    if shape == (0,) and size == item_size(dtype):
        shape = ()  # older versions wrote scalars so
    if math.prod(shape) * item_size(dtype) != size:
        raise ValueError(f"{name} of shape {shape} and type {tensor.kind} has {size} bytes")
    data = memoryview(bytearray(size))
    ends = itertools.accumulate((length for _, length in tensor.pieces), initial=0)
    for (start, length), place in zip(tensor.pieces, ends, strict=False):
        stream.seek(start)
        if stream.readinto(data[place : place + length]) != length:
            raise ValueError(f"the file ends within {name}")
    return decode_numbers(data, dtype, math.prod(shape)).reshape(shape)
