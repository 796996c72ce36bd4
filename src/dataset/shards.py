"""Writing the rows of a data set into MindRecord files, and the blobs in them."""

__all__ = ["SHARD_NAME", "pack", "unpack", "write_shards"]

import math
import os
import shutil
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..imaging.images import decode_png, encode_png
from ..utils.errors import UserError
from ..utils.progress import Progress
from .reader import MOST_PROBLEMS, OptionError, Reader, describe_problems

SHARD_NAME = "samples.mindrecord"
_SHARD_BYTES = 2 << 30
_CHUNK_BYTES = 64 << 20
# what files take beyond their rows, because they grow in whole pages: for tiny data sets, and for others
_PAGE_MARGIN = 4 << 20
_FREE_MARGIN = 64 << 20
_MEBIBYTE = 1 << 20
_MAP_MARK = 0  # a PNG starts with 0x89
_MAP_HEADER = struct.Struct("<BBII")  # mark, bytes a value, height, width
_STORED_TYPES: dict[int, np.dtype] = {1: np.dtype("u1"), 2: np.dtype("<u2")}


def pack(array: np.ndarray) -> bytes:
    """A lossless blob of a uint8 or uint16 array: CRC-32 (4 bytes, little endian), then the data.

    Maps of ids are deflated, which is read four times faster than a PNG of them; photos become PNGs.
    """
    data = b""
    if array.ndim == 2:
        plain = np.ascontiguousarray(array, _STORED_TYPES[array.dtype.itemsize])
        data = _MAP_HEADER.pack(_MAP_MARK, array.dtype.itemsize, *array.shape) + zlib.compress(plain.data, 6)
    if not data or len(data) > array.nbytes // 4:
        data = encode_png(array, photo=True)
    return zlib.crc32(data).to_bytes(4, "little") + data


def unpack(blob: bytes) -> np.ndarray:
    """Invert :func:`pack`; one channel comes back as ``(H, W)``. Raises ``ValueError`` if a bit changed."""
    data = memoryview(blob)[4:]
    if zlib.crc32(data) != int.from_bytes(blob[:4], "little"):
        raise ValueError("the checksum does not match")
    if data[0] != _MAP_MARK:
        return decode_png(data)
    _, item_size, height, width = _MAP_HEADER.unpack_from(data)
    plain = zlib.decompress(data[_MAP_HEADER.size :])
    return np.frombuffer(plain, _STORED_TYPES[item_size]).reshape(height, width)


def write_shards(reader: Reader, folder: Path, shards: int = 0) -> dict[str, object]:
    """Read, check and write every row of ``reader`` into MindRecord files in ``folder``.

    Args:
        shards: number of files; 0 chooses one per 2 GiB, estimated from the first rows.

    Returns:
        ``columns``, ``count``, ``size`` (height and width of the samples) and ``files`` (name to bytes).

    Raises:
        UserError: files that cannot be used (up to 20 are collected, so that they can be repaired together), samples of
            several sizes, a full disk. The caller removes what was written so far.
    """
    rows = _EncodedRows(reader)
    writer: Any = None
    for chunk, total in rows.chunks():
        _check_space(folder, chunk, _PAGE_MARGIN if total else _FREE_MARGIN)
        try:
            if writer is None:
                writer = _open_writer(reader, folder, shards, chunk, total)
            writer.write_raw_data(chunk)
        except Exception as error:  # the writer has a family of errors of its own, a full disk among them
            raise _unwritable(folder, error) from error
    try:
        writer.commit()
    except Exception as error:
        raise _unwritable(folder, error) from error
    return {
        "columns": list(reader.stored),
        "count": len(reader.rows),
        "size": list(rows.size),
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }


class _EncodedRows:
    """Encodes rows in threads, in order, and collects their problems."""

    def __init__(self, reader: Reader):
        self.reader = reader
        self.size: tuple[int, int] = (0, 0)
        self._first_stem = ""
        self._problems: list[str] = []

    def chunks(self) -> Iterator[tuple[list[dict[str, object]], bool]]:
        """Yield lists of rows of about 64 MiB, each with whether it holds the whole data set.

        Nothing more is yielded once a row is unusable; the problems are raised at the end.
        """
        chunk, size, first = [], 0, True
        for row in self._rows():
            chunk.append(row)
            size += _row_bytes(row)
            if size >= _CHUNK_BYTES:
                if not self._problems:
                    yield chunk, False
                chunk, size, first = [], 0, False
        if self._problems:
            raise UserError(describe_problems(self._problems))
        if chunk:
            yield chunk, first

    def _rows(self) -> Iterator[dict[str, object]]:
        count = len(self.reader.rows)
        threads = min(16, os.cpu_count() or 1)
        waiting: deque[Future] = deque()
        pool = ThreadPoolExecutor(threads)
        try:
            with Progress(count, "records", unit="samples") as progress:
                for index in range(count + 2 * threads):
                    if index < count:
                        waiting.append(pool.submit(self._encode, index))
                    if index >= 2 * threads and waiting:
                        done = waiting.popleft()
                        progress.update()
                        if self._usable(done):
                            yield done.result()[0]
        finally:
            pool.shutdown(cancel_futures=True)

    def _encode(self, index: int) -> tuple[dict[str, object], tuple[int, int], str]:
        arrays = self.reader.load(index)
        row: dict[str, object] = {"id": index}
        row |= {name: pack(arrays[name]) for name in self.reader.stored}
        return row, self.reader.final_size(arrays), self.reader.rows[index].stem

    def _usable(self, done: Future) -> bool:
        error = done.exception()
        if error is not None:
            if not isinstance(error, UserError) or isinstance(error, OptionError):
                raise error
            self._add_problem(str(error))
            return False
        _, size, stem = done.result()
        if not self._first_stem:
            self.size, self._first_stem = size, stem
        elif size != self.size:
            self._add_problem(
                f"{stem} is {size[1]}x{size[0]} but {self._first_stem} is {self.size[1]}x{self.size[0]} after resizing "
                "and cropping: training needs one size; pass --resize_or_crop resize_and_crop, scale_width_and_crop or "
                "crop with a --fine_size that fits all images"
            )
            return False
        return True

    def _add_problem(self, problem: str) -> None:
        self._problems.append(problem)
        if len(self._problems) >= MOST_PROBLEMS:
            raise UserError(describe_problems(self._problems, more=True))


def _row_bytes(row: dict[str, object]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, bytes))


def _check_space(folder: Path, chunk: list[dict[str, object]], margin: int) -> None:
    needed = sum(map(_row_bytes, chunk)) + margin
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"the disk of {folder} is nearly full ({free / 2**20:.0f} MiB free) and the records need "
            f"{needed / 2**20:.0f} MiB and more: free some space or pass --records_dir with a folder on another disk; "
            "nothing was kept"
        )


def _open_writer(reader: Reader, folder: Path, shards: int, chunk: list[dict[str, object]], is_all: bool) -> Any:
    from mindspore.mindrecord import FileWriter  # here, because importing MindSpore takes seconds

    mean = sum(map(_row_bytes, chunk)) / len(chunk)
    shards = shards or max(1, math.ceil(mean * len(reader.rows) / _SHARD_BYTES))
    writer = FileWriter(str(folder / SHARD_NAME), shard_num=min(shards, len(reader.rows)), overwrite=False)
    if is_all:
        # a file grows in whole pages, and the default of 32 MiB would make tiny data sets large
        largest = max(map(_row_bytes, chunk)) + 4096
        writer.set_header_size(_MEBIBYTE)
        writer.set_page_size(max(_MEBIBYTE, 1 << (largest - 1).bit_length()))
    schema = {"id": {"type": "int32"}} | {name: {"type": "bytes"} for name in reader.stored}
    writer.add_schema(schema, f"{reader.kind} samples")
    return writer


def _unwritable(folder: Path, error: Exception) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    reason = next((line for line in lines if line.startswith("[ERROR]")), lines[0] if lines else repr(error))
    return UserError(
        f"the records in {folder} cannot be written ({reason}): check the space and the permissions there, or pass "
        "another --records_dir; nothing was kept"
    )
