"""Seeded damage to files, and the one question asked about each: success or a clear error, and nothing else touched."""

__all__ = ["INPUTS", "Trial", "damaged", "spliced", "try_inputs"]

import hashlib
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.utils.errors import UserError

#: how many inputs each kind of test tries; every test asserts its own number
INPUTS = {
    "values on the command line": 250,
    "configuration files": 220,
    "pictures": 300,
    "label maps": 200,
    "instance maps": 200,
    "samples": 60,
    "torch files": 300,
    "pickles": 200,
    "conversions": 24,
    "whole pickled modules": 60,
    "network files": 120,
    "checkpoint folders": 160,
    "checkpoints of a run": 40,
    "tables": 80,
    "list files": 150,
    "zip archives": 120,
    "records": 24,
    "idx files": 60,
    "logs": 60,
    "videos": 40,
    "options of a training": 24,
    "training states": 8,
}

_SLOWEST = 8.0  # seconds of the processor: finds what has no end, also where the machine is busy
_LONGEST = 6000  # characters of a message


@dataclass
class Trial:
    """One input: its folder (all that may not change), what is done with it, and the name an error must mention."""

    action: Callable[[], object]
    folder: Path | None = None
    mentions: str = ""


def try_inputs(kind: str, trials: Iterable[Trial], *, both: bool = True) -> dict[str, int]:
    """Run every trial of ``kind``; how many ended in success and how many in a :class:`UserError`.

    Anything else fails, and so does a file that changed, a message without the name of what is wrong, and, with
    ``both``, a set of inputs that never succeed or never fail: it would test nothing.
    """
    counts = {"success": 0, "refused": 0}
    said = ""
    for number, trial in enumerate(trials):
        where = f"{kind}, input {number}"
        before = _contents(trial.folder)
        start = time.process_time()
        try:
            trial.action()
        except UserError as error:
            said = str(error)
            _check_message(said, trial.mentions, where)
            counts["refused"] += 1
        except BaseException as error:
            raise AssertionError(f"{where}: {''.join(traceback.format_exception(error))[-3000:]}") from None
        else:
            counts["success"] += 1
        seconds = time.process_time() - start
        assert seconds < _SLOWEST, f"{where} took {seconds:.1f} s"
        assert _contents(trial.folder) == before, f"{where} changed its files"
    assert sum(counts.values()) == INPUTS[kind], f"{kind}: {counts}"
    assert not both or all(counts.values()), f"{kind}: {counts}, the last one: {said}"
    return counts


def _check_message(text: str, mentions: str, where: str) -> None:
    assert text.strip(), f"{where}: no message"
    assert len(text) < _LONGEST, f"{where}: {len(text)} characters: {text[:300]}"
    assert "Traceback" not in text, f"{where}: {text}"
    assert mentions in text, f"{where}: {mentions} is not named in: {text[:600]}"


def _contents(folder: Path | None) -> dict[str, str]:
    if folder is None:
        return {}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def damaged(data: bytes, rng: np.random.Generator, most: int = 4) -> bytes:
    """``data`` with one to ``most`` random injuries."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, most + 1))):
        injury = _INJURIES[int(rng.integers(len(_INJURIES)))]
        injury(result, rng)
    return bytes(result)


def spliced(first: bytes, second: bytes, rng: np.random.Generator) -> bytes:
    """The beginning of one file and the end of another."""
    return first[: int(rng.integers(len(first) + 1))] + second[int(rng.integers(len(second) + 1)) :]


def _place(data: bytearray, rng: np.random.Generator) -> int:
    # headers decide more than bodies, so half of the injuries are there
    reach = min(len(data), 64) if rng.random() < 0.5 else len(data)
    return int(rng.integers(reach)) if reach else 0


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    length = min(int(rng.integers(1, 9)), len(data) - start)
    fill = (b"\0" * length, b"\xff" * length, rng.bytes(length))[int(rng.integers(3))]
    data[start : start + length] = fill


def _number(data: bytearray, rng: np.random.Generator) -> None:
    """An extreme number of 4 or 8 bytes, in either order."""
    value = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)[int(rng.integers(7))]
    width = 4 if value < 2**32 else 8
    order = ("little", "big")[int(rng.integers(2))]
    start = _place(data, rng)
    data[start : start + width] = value.to_bytes(width, order)


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    del data[start : start + int(rng.integers(1, 33))]


def _insert(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = rng.bytes(int(rng.integers(1, 33)))


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start = _place(data, rng)
    data[start:start] = data[start : start + int(rng.integers(1, 65))]


_INJURIES = (_flip, _flip, _overwrite, _number, _cut, _remove, _insert, _repeat)
