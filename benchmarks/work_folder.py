"""The folder of a benchmark that goes on where it stopped: the options it was begun with, and its results."""

__all__ = ["claim", "count_of", "keep_weights", "read_json", "write_json"]

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.utils.errors import UserError
from src.utils.files import atomic_write, explain_os_error, read_small

if TYPE_CHECKING:
    from mindspore import nn


def claim(work: Path, asked: dict[str, Any]) -> None:
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
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, work, "create") from error
        write_json(path, asked)


def count_of(key: str, text: str, example: str, least: int = 1) -> int:
    """The value ``text`` of option ``key``, an integer of at least ``least``, or ``UserError``."""
    if not text.isdigit() or int(text) < least:
        raise UserError(f"{key} {text} is not a number above {least - 1}, such as {example}")
    return int(text)


def keep_weights(network: "nn.Cell", path: Path, train: Callable[[], None]) -> None:
    """Give ``network`` the weights in ``path``; without such a file ``train`` it first, and write them there."""
    from src.models.parameters import load_arrays, state_arrays
    from src.utils.tensorfile import read_arrays, write_arrays

    if not path.is_file():
        train()
        write_arrays(path, state_arrays(network))
    load_arrays(network, read_arrays(path)[0], str(path))
    network.set_train(False)


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file."""
    return json.loads(read_small(path))


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value``, and make the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(value, indent=1).encode())
