"""Values of options: the type is that of the default, and choices limit the value."""

__all__ = ["BARE", "COMMAND_LINE", "check_allowed", "convert"]

import sys
from typing import Any

from ..utils.errors import UserError
from .files import YAML_ERRORS, read_value
from .text import closest, shown

COMMAND_LINE = "command line"
_LARGEST = 2**63 - 1
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class _Bare(str):
    """The value of an option that is given without one: True for switches, an error for all other options."""

    __slots__ = ()


BARE = _Bare("True")


def check_allowed(key: str, value: Any, allowed: Any, source: str) -> None:
    """Raise ``UserError`` unless ``value`` is in the list or range ``allowed``; each item of a list is checked."""
    for item in value if isinstance(value, list) and isinstance(allowed, dict) else [value]:
        if isinstance(allowed, list) and item not in allowed:
            options = ", ".join(shown(a) for a in allowed)
            raise UserError(f"{source}: {key} {shown(item)} is not one of {options}{closest(str(item), allowed)}")
        if isinstance(allowed, dict):
            low, high = allowed.get("min"), allowed.get("max")
            if not isinstance(item, (int, float)):
                raise UserError(f"{source}: {key} {shown(item)} is not a number")
            # written so that NaN is out of range, too
            if not ((low is None or item >= low) and (high is None or item <= high)):
                bounds = (
                    f"at least {low}" if high is None else f"at most {high}" if low is None else f"in {low}..{high}"
                )
                raise UserError(f"{source}: {key} {shown(item)} is out of range: it must be {bounds}")


def convert(key: str, value: Any, default: Any, source: str) -> Any:
    """Convert ``value`` to the type of ``default``; text from the command line is read as YAML.

    Raises:
        UserError: the value is of another type, not finite, or too large.
    """
    kind = type(default)
    if isinstance(value, _Bare) and kind is not bool:
        raise UserError(f"{source}: --{key} has no value")
    if kind is bool:
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE | _FALSE:
            return str(value).lower() in _TRUE
        raise UserError(f"{source}: {key} {shown(value)} is not True or False")
    if kind is str:
        return _text(key, value, source)
    if isinstance(value, str):
        value = _parsed(key, value, kind, source)
    if isinstance(value, bool):
        raise UserError(f"{source}: {key} {value} is not {_named(kind)}")
    if kind is float and isinstance(value, (int, float)):
        if not abs(value) <= sys.float_info.max:  # NaN, infinities, and whole numbers that no float can hold
            raise UserError(f"{source}: {key} {shown(value)} is not a finite number")
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is list and isinstance(value, (list, tuple)):
        inner = default[0] if default else None
        return [item if inner is None else convert(key, item, inner, source) for item in value]
    if not isinstance(value, kind):
        raise UserError(f"{source}: {key} {shown(value)} is not {_named(kind)}")
    if kind is int and abs(value) > _LARGEST:
        raise UserError(f"{source}: {key} {shown(value)} is too large: use a smaller number")
    return value


def _text(key: str, value: Any, source: str) -> str:
    if isinstance(value, (bytes, dict, list, set, tuple)) or (type(value) is int and abs(value) > _LARGEST):
        raise UserError(f"{source}: {key} {shown(value)} is not a string")
    text = "" if value is None else str(value)
    # no path can contain a zero byte, and no file can contain half of a surrogate pair
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError(f"{source}: {key} {shown(ascii(text))} holds a character that cannot be written to files")
    return text


def _parsed(key: str, text: str, kind: type, source: str) -> Any:
    try:
        # not YAML, to which 010 is eight and 1e-4 a text
        if kind in (int, float):
            return _number(text)
        # a list may also be given as words: 512 1024
        return read_value(text if text.lstrip().startswith("[") else f"[{', '.join(text.split())}]")
    except YAML_ERRORS:
        raise UserError(f"{source}: {key} {shown(text)} is not {_named(kind)}") from None


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _named(kind: type) -> str:
    return {int: "a whole number", float: "a number", list: "a list"}.get(kind, f"a {kind.__name__}")
