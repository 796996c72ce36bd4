"""Benchmarks that go on where they stopped: their folder, their numbers and the options that they were begun with."""

__all__ = ["claim_work", "positive", "read_json", "write_json"]

import json
from pathlib import Path
from typing import Any

from src.utils.errors import UserError
from src.utils.files import atomic_write, read_small


def claim_work(work: Path, asked: dict[str, Any]) -> None:
    """Raise ``UserError`` if ``work`` has results of other options; the results of two would be in one table."""
    path = work / "options.json"
    if path.is_file():
        earlier = read_json(path)
        changed = [key for key in asked if earlier.get(key) != asked[key]]
        if changed:
            raise UserError(
                f"{work} was begun with {changed[0]} {earlier.get(changed[0])}, not {asked[changed[0]]}: pass another "
                "--work, or the same options"
            )
    elif work.is_dir() and any(work.iterdir()):
        raise UserError(f"{work} is not empty and no benchmark began there: pass another --work")
    else:
        work.mkdir(parents=True, exist_ok=True)
        write_json(path, asked)


def positive(key: str, text: str, example: str) -> int:
    """The number that option ``key`` has; ``UserError`` unless it is whole and above 0, such as ``example``."""
    if not text.isdigit() or not int(text):
        raise UserError(f"{key} {text} is not a number above 0, such as {example}")
    return int(text)


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file of a benchmark holds."""
    return json.loads(read_small(path))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write such a file, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(value, indent=1).encode())
