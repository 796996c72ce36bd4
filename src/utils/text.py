"""Text for output: a console, a page or a log."""

__all__ = ["counted", "readable"]

import re

_UNDECODED = re.compile("[\udc80-\udcff]+")


def readable(text: str, encoding: str | None = "utf-8") -> str:
    """Return ``text`` in characters that ``encoding`` has; others are escaped (``\\xdf``). None means UTF-8.

    Python keeps the bytes of a file name that the locale cannot decode as surrogates (PEP 383). They become the
    characters that they are in UTF-8, so that a file has one name under every locale.
    """
    text = _UNDECODED.sub(
        lambda found: found[0].encode("ascii", "surrogateescape").decode("utf-8", "backslashreplace"), text
    )
    encoding = encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 image``, ``2 images``, ``0 images``; ``plural`` is the noun's, where it is not the noun with an ``s``."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
