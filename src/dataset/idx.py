"""The idx files of MNIST."""

__all__ = ["read_idx"]

import gzip
import struct
from functools import lru_cache
from pathlib import Path

import numpy as np

from src.utils.errors import UserError
from src.utils.files import explain_os_error

_UNSIGNED_BYTES = 0x08


@lru_cache(maxsize=4)
def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an idx file, plain or gzipped, read-only.

    Raises:
        UserError: it cannot be read, is no idx file of bytes, or is cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError) as error:
        raise UserError(f"{path} is no complete gzip file ({error}): fetch it again") from error
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTES:
        raise UserError(f"{path} is no idx file of bytes: pass the files of MNIST as they are published")
    axes = data[3]
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes].ljust(4 * axes, b"\0"))
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * axes) if len(data) > 4 + 4 * axes else np.zeros(0, np.uint8)
    if values.size != np.prod(shape, dtype=np.int64):
        raise UserError(
            f"{path} holds {values.size} bytes where its header announces {'x'.join(map(str, shape))}: fetch it again"
        )
    return values.reshape(shape)
