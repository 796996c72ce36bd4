"""File names for the results of a sample: encodable, short enough for a file system, and unique."""

__all__ = ["LONGEST_NAME", "file_name", "half_name", "pair_name", "unique_names"]

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

LONGEST_NAME = 200
"""Bytes of a name. File systems allow 255: results and temporary files append to it."""

_DIGEST = 10


def file_name(text: str, longest: int = LONGEST_NAME) -> str:
    """``text`` as a name of at most ``longest`` bytes of UTF-8, the same in every run.

    A byte of a file name that is not UTF-8 becomes ``=`` and its two hexadecimal digits. A name that is too long is cut
    and ends in ``~`` and the first ten hexadecimal digits of the SHA-256 of the whole name.
    """
    data = re.sub("[\ud800-\udfff]", lambda byte: f"={ord(byte[0]) & 0xFF:02X}", text).encode()
    if len(data) <= longest:
        return data.decode()
    head = data[: longest - _DIGEST - 1].decode(errors="ignore")
    return f"{head}~{hashlib.sha256(data).hexdigest()[:_DIGEST]}"


def unique_names(texts: Iterable[str]) -> list[str]:
    """:func:`file_name` of every text; where one occurs again, ``_2``, ``_3`` and so on make it unique."""
    texts = list(texts)
    names = [file_name(text) for text in texts]
    taken = set(names)
    seen: Counter[str] = Counter()
    for position, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            while (other := file_name(f"{texts[position]}_{seen[name]}")) in taken:
                seen[name] += 1
            taken.add(other)
            names[position] = other
    return names


def pair_name(content: str, style: str) -> str:
    """``{content}_to_{style}``, with the halves of :func:`half_name` where that is too long."""
    name = f"{content}_to_{style}"
    return name if len(name.encode()) <= LONGEST_NAME else f"{half_name(content)}_to_{half_name(style)}"


def half_name(name: str) -> str:
    """``name`` as it stands in a :func:`pair_name` that had to be cut."""
    return file_name(name, (LONGEST_NAME - len("_to_")) // 2)
