"""Shared code of the readers of weight files: detecting formats, checking names, decoding numbers."""

__all__ = ["check_name", "decode_numbers", "describe_head", "item_size"]

import os
from typing import Literal

import numpy as np

from .errors import UserError, shown

# longest name in characters; networks nested ten levels deep stay below a tenth of it
_MAX_NAME = 1000


def check_name(name: str, path: str | os.PathLike) -> None:
    """Raise ``UserError`` if the name of an array in the file ``path`` must not be printed.

    Messages about weights that do not fit list names, so control characters in a name would reach the terminal.
    """
    if len(name) > _MAX_NAME or not name.isprintable():
        raise UserError(
            f"{path} names an array {shown(name)}: no parameter has control characters or more than {_MAX_NAME} "
            "characters in its name: use another file"
        )


def item_size(dtype: str) -> int:
    """Bytes of one number of the type ``dtype``, NumPy's name of it or ``bfloat16``."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def decode_numbers(
    data: bytes | bytearray | memoryview, dtype: str, count: int, order: Literal["<", ">"] = "<"
) -> np.ndarray:
    """The first ``count`` numbers of the type ``dtype`` in raw bytes, as a flat array in the machine's byte order.

    bfloat16 becomes float32, and of bools any byte but zero is true. ``order`` is ``<`` or ``>``.
    """
    data = memoryview(data)[: count * item_size(dtype)]
    if dtype == "bfloat16":
        wide = np.frombuffer(data, np.dtype(np.uint16).newbyteorder(order)).astype(np.uint32)
        return np.left_shift(wide, 16).view(np.float32)
    if dtype == "bool":
        return np.frombuffer(data, np.uint8) != 0
    values = np.frombuffer(data, np.dtype(dtype).newbyteorder(order))
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def describe_head(head: bytes) -> str | None:
    """A description of a file that is not foreign weights, from its first 512 bytes, or None."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself"
    if head.lstrip()[:1] == b"<":
        return "it is a web page, probably an error message of the download"
    if head[257:262] == b"ustar":
        return "it is a tar archive"
    if head[8:10] == b'{"':
        return "it looks like a safetensors file, which needs no conversion"
    return None
