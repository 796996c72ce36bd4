"""Named arrays in safetensors files: written completely or not at all, checksummed while they are written."""

__all__ = ["WrittenFile", "pack_json", "read_arrays", "read_metadata", "require_new", "unpack_json", "write_arrays"]

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from .errors import UserError, shown
from .files import atomic_write, explain_os_error, open_regular
from .foreign import check_name

_DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
_CHUNK = 16 << 20


@dataclass(frozen=True)
class WrittenFile:
    """Name, SHA-256 and size in bytes of a file that is complete on the disk."""

    path: Path
    sha256: str
    size: int


def write_arrays(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
    overwrite: bool = True,
) -> WrittenFile:
    """Write arrays (bool, 8 to 64 bit integers, 16 to 64 bit floats, any shape) as one safetensors file.

    The file is streamed rather than built in memory, so the checksum needs no second read and a full disk is reported
    as such.

    Raises:
        UserError: the file cannot be written, or exists and ``overwrite`` is False.
        TypeError: an array of a kind that the format cannot hold.
    """
    header, ordered = _layout(arrays, metadata or {})
    digest = hashlib.sha256()
    size = 0

    def write(stream: BinaryIO) -> None:
        nonlocal size
        for block in _blocks(header, ordered):
            digest.update(block)
            stream.write(block)
            size += len(block)

    atomic_write(path, write, overwrite=overwrite)
    return WrittenFile(Path(path), digest.hexdigest(), size)


def require_new(path: Path) -> None:
    """Raise ``UserError`` unless ``path`` names a ``.safetensors`` file that does not exist yet."""
    if path.suffix != ".safetensors":
        raise UserError(f"{path} should end in .safetensors")
    if path.exists():
        raise UserError(f"{path} exists, and nothing is overwritten: choose another target")


def _layout(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> tuple[bytes, list[np.ndarray]]:
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    ordered = []
    offset = 0
    # wide types first: every array then starts at a multiple of its item size
    for name in sorted(arrays, key=lambda name: (-np.asarray(arrays[name]).itemsize, name)):
        array = np.asarray(arrays[name])
        if array.dtype.name not in _DTYPES or name == "__metadata__":
            raise TypeError(f"array {name!r} of type {array.dtype} cannot be stored in a safetensors file")
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
        ordered.append(array)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, ordered


def _blocks(header: bytes, ordered: Iterable[np.ndarray]) -> Iterable[bytes | memoryview]:
    yield header
    for array in ordered:
        if not array.size:
            continue
        flat = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        for start in range(0, flat.size, _CHUNK):
            yield flat[start : start + _CHUNK].data


def read_arrays(
    path: str | os.PathLike, names: Iterable[str] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read (all or the named) arrays of a safetensors file and its metadata.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    path = Path(path)
    with _opened(path) as file:
        wanted = list(file.keys()) if names is None else list(names)
        return {name: _get(file, name) for name in wanted}, dict(file.metadata() or {})


def _get(file: Any, name: str) -> np.ndarray:
    try:
        array = file.get_tensor(name)
    except (AttributeError, TypeError) as error:  # a type of numbers that NumPy lacks
        raise TypeError(f"array {name}: {error}; float32 can be read") from error
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"array {name} holds numbers of the type {array.dtype}")
    return array


def read_metadata(path: str | os.PathLike) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Read only the header of a safetensors file: its metadata and the shape of each array.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    path = Path(path)
    with _opened(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        return dict(file.metadata() or {}), shapes


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        # the library's own errors have no error number
        with open_regular(path), safe_open(str(path), framework="np") as file:
            for name in file.keys():  # noqa: SIM118
                check_name(name, path)
            yield file
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    except (SafetensorError, KeyError, MemoryError, OverflowError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is damaged or not a safetensors file ({shown(str(error))}): copy it again or use another one"
        ) from error


def pack_json(value: object) -> np.ndarray:
    """Store any JSON-able value (random states, counters, file lists) as a uint8 array."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8).copy()


def unpack_json(array: np.ndarray) -> object:
    """Return the value that :func:`pack_json` stored."""
    return json.loads(np.asarray(array, np.uint8).tobytes())
