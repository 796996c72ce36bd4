"""The control for levels of latents: a temperature and a seed for each, and whether it is kept from a real image."""

__all__ = ["levels_control"]

from collections.abc import Sequence
from typing import Any


def levels_control(
    names: Sequence[str], temperatures: Sequence[float], keep: bool = True, kept: bool = False
) -> dict[str, Any]:
    """One row a level on the page; :func:`src.editing.values.settings_of` describes the setting ``levels``.

    Args:
        names: names of the levels, from fine to coarse.
        temperatures: initial temperature of each level.
        keep: levels can be kept from a real image.
        kept: levels are kept by default.
    """
    return {"type": "levels", "names": list(names), "temperatures": list(temperatures), "keep": keep, "kept": kept}
