"""Files of the precomputation, each with a record of its inputs, so that nothing is computed twice."""

__all__ = ["Product", "digest"]

import hashlib
import json
from pathlib import Path
from typing import Any

from ...utils.files import atomic_write, sha256_file

_LONGEST_RECORD = 1 << 16


def digest(value: Any) -> str:
    """SHA-256 of JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_record(path: Path) -> dict[str, Any]:
    """A record that this program wrote; an unreadable file is treated as not written by this project and gives {}."""
    try:
        with open(path, "rb") as stream:
            record = json.loads(stream.read(_LONGEST_RECORD))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


class Product:
    """A file with its record beside it, ``NAME.json``.

    Args:
        path: path of the file.
        made_from: JSON values: everything that the file depends on.
    """

    def __init__(self, path: Path, made_from: dict[str, Any]):
        self.path, self.made_from = path, made_from
        self._record_path = path.with_name(f"{path.name}.json")
        self._record = read_record(self._record_path)

    @property
    def is_ours(self) -> bool:
        """Whether the file is unchanged since this program wrote it, so that it may be replaced."""
        return self.path.is_file() and self._record.get("sha256") == sha256_file(self.path)

    @property
    def is_current(self) -> bool:
        """Whether the file is up to date."""
        return self.is_ours and self._record.get("made_from") == self.made_from

    @property
    def may_be_written(self) -> bool:
        """Whether there is no file of that name, or one that this program wrote."""
        return self.is_ours or not self.path.exists()

    def write(self, content: bytes) -> None:
        """Write file and record.

        Raises:
            UserError: see :func:`src.utils.files.atomic_write`.
        """
        atomic_write(self.path, content)
        self._record = {"made_from": self.made_from, "sha256": sha256_file(self.path)}
        atomic_write(self._record_path, json.dumps(self._record, indent=1))
