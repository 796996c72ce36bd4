"""Text for messages about options: values cut to a readable length, and the nearest known word."""

__all__ = ["closest", "shown"]

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

from ..utils import errors

_MOST_SHOWN = 120
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _MOST_SHOWN


def shown(value: Any) -> str:
    """A value as it was given, cut to a readable length; control characters are escaped."""
    if not isinstance(value, str):
        try:
            value = _brief.repr(value)
        except ValueError:
            return "of thousands of digits"
    return errors.shown(value, _MOST_SHOWN)


def closest(word: str, words: Iterable[Any]) -> str:
    """``; did you mean X?`` for the nearest of ``words``, or nothing."""
    matches = difflib.get_close_matches(word, [str(w) for w in words], 1, 0.6)
    return f"; did you mean {matches[0]}?" if matches else ""
