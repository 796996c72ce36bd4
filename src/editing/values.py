"""Values from outside: every value of a request or a saved edit is checked and converted here, or refused."""

__all__ = ["read_object", "settings_of", "text", "whole"]

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..utils.errors import UserError, shown

_DEEPEST = 8
_LONGEST_NUMBER = 32
_HIGHEST_SEED = 2**31 - 1
_HIGHEST_TEMPERATURE = 10


def read_object(data: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object in UTF-8: finite numbers of at most 32 characters, nested at most 8 levels deep.

    Raises:
        UserError: the text is anything else; ``what`` names it.
    """
    try:
        found = json.loads(data.decode(), parse_int=_read_int, parse_float=_read_float, parse_constant=_read_float)
    except ValueError as error:
        raise UserError(f"{what} is not JSON: {error}") from None
    except RecursionError:
        found = None
    if not isinstance(found, dict) or _depth(found) > _DEEPEST:
        raise UserError(f"{what} is not a JSON object of at most {_DEEPEST} levels")
    return found


def _read_int(word: str) -> int:
    if len(word) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(word)} characters is too long")
    return int(word)


def _read_float(word: str) -> float:
    if len(word) > _LONGEST_NUMBER or not math.isfinite(float(word)):
        raise ValueError(f"{shown(word, 20)} is not a finite number of at most {_LONGEST_NUMBER} characters")
    return float(word)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [inner for one in nested for inner in one]
        depth += bool(nested)
    return depth


# -- single values -------------------------------------------------------------------------------------------------


def text(value: Any, name: str) -> str:
    """Text, as one line of at most 200 characters."""
    if not isinstance(value, str):
        raise UserError(f"{name}: {shown(value)} is not a string")
    return shown(value)


def whole(value: Any, name: str, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name}: {shown(value, 60)} is not a whole number from {low} to {high}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any, name: str, low: float, high: float) -> float:
    if not _is_number(value) or not low <= value <= high:
        raise UserError(f"{name}: {shown(value, 60)} is not a number from {low} to {high}")
    return float(value)


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{name}: {shown(value, 60)} is not a JSON object")
    return value


def _fields(value: Any, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object without other keys than those of ``known``."""
    for key in _object(value, name):
        if key not in known:
            raise UserError(f"{name}: {shown(key, 60)} is not one of {', '.join(known) or 'none at all'}")
    return value


# -- settings ------------------------------------------------------------------------------------------------------


def settings_of(given: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a document, checked for type and range; missing settings get the page's first value.

    Args:
        given: the settings in a request or a file.
        about: :meth:`src.editing.studio.Studio.about`, whose ``controls`` and ``styles`` define the settings.

    Returns:
        For controls of the type ``levels`` the list ``levels``, an object with ``temperature`` (0 to 10), ``seed`` (0
        to 2^31 - 1) and ``keep`` (bool) for each level; for those of the type ``choice`` one of their options, for
        those of the type ``look`` a position in their names, both under the control's ``id``; where regions have styles
        ``styles``, from the region's number, as text, to a list of ``count`` numbers in [-1, 1].

    Raises:
        UserError: a value of another type or out of range, or a setting that the model does not have.
    """
    kinds = {"levels": _levels, "choice": _choice, "look": _look}
    converters: dict[str, Callable[[Any], Any]] = {
        control.get("id", "levels"): partial(kinds[control["type"]], control=control) for control in about["controls"]
    }
    if about["styles"]:
        converters["styles"] = partial(_styles, count=about["styles"]["count"])
    given = _fields(given, "settings", converters)
    return {key: convert(given.get(key)) for key, convert in converters.items()}


def _levels(given: Any, control: Mapping[str, Any]) -> list[dict[str, Any]]:
    count = len(control["names"])
    if given is None or given == []:
        given = [{}] * count
    if not isinstance(given, list) or len(given) != count:
        raise UserError(f"levels: {shown(given, 60)} is not a list of {count}")
    levels = []
    for number, (level, temperature) in enumerate(zip(given, control["temperatures"], strict=True)):
        own = {"temperature": temperature, "seed": 0, "keep": bool(control.get("kept"))}
        own |= _fields(level, f"level {number}", own)
        if not isinstance(own["keep"], bool):
            raise UserError(f"keep of level {number}: {shown(own['keep'], 60)} is neither true nor false")
        own["temperature"] = _number(own["temperature"], f"temperature of level {number}", 0, _HIGHEST_TEMPERATURE)
        own["seed"] = whole(own["seed"], f"seed of level {number}", 0, _HIGHEST_SEED)
        levels.append(own)
    return levels


def _choice(given: Any, control: Mapping[str, Any]) -> str:
    values = [value for value, _ in control["options"]]
    if given is not None and given not in values:
        raise UserError(f"{control['id']}: {shown(given, 60)} is not one of {', '.join(values)}")
    return values[0] if given is None else given


def _look(given: Any, control: Mapping[str, Any]) -> int:
    return 0 if given is None else whole(given, control["id"], 0, len(control["names"]) - 1)


def _styles(given: Any, count: int) -> dict[str, list[float]]:
    styles = {}
    for region, values in _object({} if given is None else given, "styles").items():
        if not (region.isascii() and region.isdigit() and len(region) <= 5 and int(region) < 65536):
            raise UserError(f"styles: {shown(region, 60)} is not the number of a region, 0 to 65535")
        if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
            raise UserError(f"style of {region}: {shown(values, 60)} is not a list of {count} numbers in [-1, 1]")
        # centres of clusters may exceed the range by a rounding error
        styles[str(int(region))] = [min(1.0, max(-1.0, float(value))) for value in values]
    return styles
