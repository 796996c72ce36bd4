"""The idx files of MNIST."""

__all__ = ["read_idx"]

import gzip
import math
import struct
import zlib
from functools import lru_cache
from io import BufferedReader
from pathlib import Path

import numpy as np

from ..utils.errors import UserError
from ..utils.files import explain_os_error

_UNSIGNED_BYTES = 0x08
_MOST_AXES = 8
# twice the largest file of the MNIST family
_LARGEST = 1 << 30


@lru_cache(maxsize=4)
def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, plain or gzipped, read-only.

    Raises:
        UserError: it cannot be read, is not an idx file of bytes, is truncated, or holds more than its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
            return _read(stream, path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a complete gzip file ({error}): download it again") from error
    except OSError as error:
        raise explain_os_error(error, path, "read") from error


def _read(stream: gzip.GzipFile | BufferedReader, path: Path) -> np.ndarray:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] != _UNSIGNED_BYTES or not 1 <= head[3] <= _MOST_AXES:
        raise UserError(f"{path} is not an idx file of bytes: pass the files of MNIST as they are published")
    axes = head[3]
    shape = struct.unpack(f">{axes}I", stream.read(4 * axes).ljust(4 * axes, b"\0"))
    count = math.prod(shape)
    # read no more than the header announces, because a small gzip file can expand to more than fits into memory
    values = np.frombuffer(stream.read(min(count, _LARGEST) + 1), np.uint8)
    if values.size != count or not count:
        holds = "more" if values.size > min(count, _LARGEST) else values.size
        raise UserError(
            f"{path} holds {holds} bytes where its header announces {'x'.join(map(str, shape))}: download it again"
        )
    return values.reshape(shape)
