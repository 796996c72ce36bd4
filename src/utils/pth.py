"""Read the files of ``torch.save`` without PyTorch and without running anything that is in them.

Such a file is a pickle, a small program, beside the raw numbers. It is interpreted here by a reader that knows only the
instructions which build numbers, texts, lists and dictionaries. Names in the pickle stay inert: the few that describe
tensors are recognised, any other ends the reading. Nothing is imported, looked up or called.

Both layouts are read: the zip archive (PyTorch 1.6 and later) and the older sequence of pickles.
"""

__all__ = ["read_module", "read_pth", "read_pth_tree"]

import contextlib
import io
import os
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from .errors import UserError, shown
from .files import explain_os_error, open_regular
from .foreign import check_name, decode_numbers, describe_head, item_size
from .pickles import Budget, Damaged, ObjectRef, Refused, Storage, TensorRef, Unpickled, unpickle

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_DEPTH = 64
_MAX_LEAVES = 200_000
_MAX_PICKLE = 256 << 20
# tied and strided tensors are stored once and returned several times; beyond this a file is an attack
_EXPANSION = 8
# what zipfile raises on archives that were damaged or made to confuse it
_ZIP_ERRORS = (EOFError, MemoryError, NotImplementedError, ValueError, struct.error, zipfile.BadZipFile)


def read_pth(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Return every array in a ``torch.save`` file under its dotted name, and nothing else.

    Nested dictionaries and lists join their keys with dots. bfloat16 becomes float32; every other type (float16 to
    float64, int8 to int64, uint8, bool) stays. Parameters are their values.

    Raises:
        UserError: the file cannot be read, is damaged or cut short, claims impossible sizes, names anything beyond
            tensors, or is no dictionary that holds arrays.
    """
    path = Path(path)
    tree, resolver = _read_tree(path)
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds a {type(tree).__name__}, not a state dict: save model.state_dict() in PyTorch")
    arrays: dict[str, np.ndarray] = {}
    with _explained(path):
        _flatten(tree, "", resolver, arrays)
    if not arrays:
        raise UserError(f"{path} holds a dictionary without any tensor, not a state dict: use another file")
    return arrays


def read_pth_tree(path: str | os.PathLike) -> object:
    """Return the whole content of a ``torch.save`` file: dicts, lists, tuples, numbers, texts and arrays.

    Raises:
        UserError: as :func:`read_pth`, without the demand for a dictionary.
    """
    return _read_tree(Path(path))[0]


def _read_tree(path: Path) -> tuple[object, "_Resolver"]:
    with _explained(path), open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        budget = Budget(size)
        head = stream.read(512)
        stream.seek(0)
        if head.startswith(b"PK\x03\x04"):
            result, read_storage = _open_zip(stream, path, size, budget)
        else:
            guess = describe_head(head) or (None if head.startswith(b"\x80") else f"it starts with {head[:8]!r}")
            if guess:
                raise UserError(f"{path} is not a file of torch.save: {guess}: download it again or use another one")
            result, read_storage = _open_legacy(stream, path, size, budget)
        resolver = _Resolver(path, size, budget, read_storage)
        return resolver.resolve(result.value), resolver


def read_module(
    stream: BinaryIO, path: Path, knows: Callable[[str, str], bool], wants: bool = True
) -> dict[str, np.ndarray]:
    """Return the parameters and buffers of a whole pickled module, by their dotted names.

    ``stream`` is open on ``path`` where a file of torch.save in the older layout begins, and is left behind its end, so
    that files with several of them can be read. ``knows(module, name)`` is the closed list of the classes that may be
    in it; none of them is imported. Without ``wants`` it is only passed over.

    Raises:
        UserError: as :func:`read_pth`, or the pickle mentions anything else.
    """
    with _explained(path):
        size = os.fstat(stream.fileno()).st_size
        budget = Budget(size)
        result, read_storage = _open_legacy(stream, path, size, budget, knows)
        end = stream.tell()
        arrays: dict[str, np.ndarray] = {}
        if wants:
            if not isinstance(result.value, ObjectRef):
                raise Refused(f"a {type(result.value).__name__} instead of a module")
            _collect(result.value, "", _Resolver(path, size, budget, read_storage), arrays)
        stream.seek(end)
        return arrays


def _collect(
    module: ObjectRef, prefix: str, resolver: "_Resolver", arrays: dict[str, np.ndarray], depth: int = 0
) -> None:
    resolver.visit(depth)
    for kind in ("_parameters", "_buffers", "_modules"):
        entries = module.attributes.get(kind, {})
        if not isinstance(entries, dict):
            raise Damaged(f"the {kind} of a {shown(module.name)} are not a dictionary")
        for key, value in entries.items():
            resolver.visit(depth)
            name = resolver.join(prefix, key)
            if kind == "_modules" and isinstance(value, ObjectRef):
                _collect(value, name, resolver, arrays, depth + 1)
            elif kind != "_modules" and isinstance(value, TensorRef):
                resolver.keep(arrays, name, resolver.array(value))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise UserError(
            f"{path} refers to {shown(str(error), 300)}, which is not part of a state dict; nothing was executed: "
            "save model.state_dict() in PyTorch, or use a file that holds only tensors"
        ) from error
    except (*_ZIP_ERRORS, Damaged) as error:
        reason = shown(str(error), 300)
        raise UserError(f"{path} is damaged or truncated ({reason}): download or copy it again") from error
    except OSError as error:
        raise explain_os_error(error, path, "read") from error


def _open_zip(
    stream: BinaryIO, path: Path, size: int, budget: Budget
) -> tuple[Unpickled, Callable[[Storage], np.ndarray]]:
    archive = zipfile.ZipFile(stream)
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise UserError(f"{path} is a zip archive without a torch.save pickle: use a .pth file of torch.save")
    prefix = pickles[0][: -len("data.pkl")]
    if prefix + "constants.pkl" in entries:
        raise UserError(f"{path} is a TorchScript archive: save model.state_dict() in PyTorch")
    for entry in entries.values():
        # torch.save never compresses, so a compressed entry is a decompression bomb or a repacked archive
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise UserError(f"{path} holds the compressed entry {shown(entry.filename)}: unpack and save it anew")
        if entry.flag_bits & 1:
            raise UserError(f"{path} is encrypted: save it anew without a password")
    if sum(entry.file_size for entry in entries.values()) > size:
        raise Damaged("its entries claim more bytes than the file has")
    if entries[pickles[0]].file_size > _MAX_PICKLE:
        raise Damaged(f"its pickle of {entries[pickles[0]].file_size} bytes is absurdly large")
    order: Literal["<", ">"] = "<"
    if prefix + "byteorder" in entries and archive.read(prefix + "byteorder").strip() == b"big":
        order = ">"
    result = unpickle(io.BytesIO(archive.read(pickles[0])), budget)

    def read_storage(storage: Storage) -> np.ndarray:
        name = f"{prefix}data/{storage.key}"
        if name not in entries:
            raise Damaged(f"the numbers of storage {shown(storage.key)} are missing")
        if storage.count * item_size(storage.dtype) > entries[name].file_size:
            raise Damaged(
                f"storage {shown(storage.key)} claims {storage.count} numbers, but only {entries[name].file_size} "
                "bytes are there"
            )
        return decode_numbers(archive.read(name), storage.dtype, storage.count, order)

    return result, read_storage


def _open_legacy(
    stream: BinaryIO, path: Path, size: int, budget: Budget, knows: Callable[[str, str], bool] | None = None
) -> tuple[Unpickled, Callable[[Storage], np.ndarray]]:
    if unpickle(stream, budget).value != _MAGIC:
        raise UserError(f"{path} is a pickle, but not one of torch.save: save model.state_dict() in PyTorch")
    if unpickle(stream, budget).value != _PROTOCOL:
        raise UserError(f"{path} has an unknown torch.save protocol: save it anew with a current PyTorch")
    unpickle(stream, budget)  # properties of the machine that wrote it; the numbers are little-endian in any case
    result = unpickle(stream, budget, knows)
    keys = unpickle(stream, budget).value
    if not isinstance(keys, list):
        raise Damaged("its list of storages is missing")
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        storage = result.storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise Damaged(f"storage {shown(key)} belongs to no tensor")
        head = stream.read(8)
        if len(head) < 8:
            raise Damaged(f"the numbers of storage {shown(key)} are missing")
        (count,) = struct.unpack("<q", head)
        start = stream.tell()
        if count < 0 or start + count * item_size(storage.dtype) > size:
            raise Damaged(f"storage {shown(key)} claims {count} numbers, but the file ends before")
        places[key] = (start, count)
        stream.seek(start + count * item_size(storage.dtype))

    def read_storage(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise Damaged(f"the numbers of storage {shown(storage.key)} are missing")
        start, count = places[storage.key]
        if count < storage.count:
            raise Damaged(f"storage {shown(storage.key)} claims {storage.count} numbers, but holds {count}")
        stream.seek(start)
        return decode_numbers(stream.read(count * item_size(storage.dtype)), storage.dtype, storage.count)

    return result, read_storage


class _Resolver:
    """Replaces the tensor descriptions in a tree by arrays, within fixed bounds."""

    def __init__(self, path: Path, size: int, budget: Budget, read_storage: Callable[[Storage], np.ndarray]):
        self._path, self._names = path, budget
        self._budget = _EXPANSION * size + (1 << 20)
        self._read_storage = read_storage
        self._storages: dict[str, np.ndarray] = {}
        self._leaves = 0

    def visit(self, depth: int) -> None:
        """Count one more value of the tree: a small file can describe an endless tree."""
        if depth > _MAX_DEPTH:
            raise Damaged(f"it is nested deeper than {_MAX_DEPTH} levels")
        self._leaves += 1
        if self._leaves > _MAX_LEAVES:
            raise Damaged(f"it holds more than {_MAX_LEAVES} values")

    def join(self, prefix: str, key: object) -> str:
        """The dotted name of an entry of ``prefix``."""
        name = f"{prefix}.{key}" if prefix else str(key)
        self._names.spend(len(name))
        return name

    def keep(self, arrays: dict[str, np.ndarray], name: str, array: np.ndarray) -> None:
        check_name(name, self._path)
        if name in arrays:
            raise UserError(f"{self._path} holds the name {name} twice: save it anew without nesting")
        arrays[name] = array

    def resolve(self, value: object, depth: int = 0) -> object:
        self.visit(depth)
        if isinstance(value, TensorRef):
            return self.array(value)
        if isinstance(value, dict):
            return {key: self.resolve(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return tuple(self.resolve(item, depth + 1) for item in value)
        if isinstance(value, Storage):
            raise Refused("a bare storage")
        if value is None or isinstance(value, (bool, int, float, str, bytes, set)):
            return value
        raise Refused(f"an object of {shown(value.name)}" if isinstance(value, ObjectRef) else str(value))

    def array(self, ref: TensorRef) -> np.ndarray:
        """The array that a tensor description stands for."""
        key = ref.storage.key
        if key not in self._storages:
            self._storages[key] = self._read_storage(ref.storage)
        flat = self._storages[key]
        count = int(np.prod(ref.size, dtype=object)) if ref.size else 1
        extents = zip(ref.size, ref.stride, strict=True)
        last = ref.offset + sum((length - 1) * step for length, step in extents)
        if count and last >= ref.storage.count:
            raise Damaged(
                f"a tensor of shape {ref.size} and strides {ref.stride} at {ref.offset} leaves its storage "
                f"of {ref.storage.count} numbers"
            )
        self._budget -= count * flat.itemsize
        if self._budget < 0:
            raise Damaged(f"its tensors (one of shape {ref.size}) expand to far more bytes than the file has")
        if count == 0:
            return np.zeros(ref.size, flat.dtype)
        steps = [step * flat.itemsize for step in ref.stride]
        return np.lib.stride_tricks.as_strided(flat[ref.offset :], ref.size, steps, writeable=False).copy()


def _flatten(value: object, name: str, resolver: _Resolver, arrays: dict[str, np.ndarray]) -> None:
    if isinstance(value, np.ndarray):
        resolver.keep(arrays, name, value)
        return
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        _flatten(item, resolver.join(name, key), resolver, arrays)
