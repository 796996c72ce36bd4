"""All systems. Adding one is adding a folder here and a line in the table below."""

__all__ = ["DEFAULT", "SYSTEMS", "describe", "descriptions", "find_system"]

import functools
from importlib import import_module
from typing import TYPE_CHECKING

from ..contracts.description import Description
from ..options.config import Config
from ..options.text import closest, shown
from ..utils.errors import UserError

if TYPE_CHECKING:
    # importing it imports MindSpore, which takes seconds
    from ..contracts.system import System

#: folder and name of each system's description; the first is the default of ``model``
SYSTEMS = {
    "pix2pixHD": "pix2pixhd:PIX2PIXHD",
    "fullglow": "glow:FULLGLOW",
    "cglow": "glow:CGLOW",
    "dualglow": "glow:DUALGLOW",
    "cyclegan": "cyclegan:CYCLEGAN",
    "cut": "cut:CUT",
    "hierarchyflow": "hierarchyflow:HIERARCHYFLOW",
    "hflow": "hflow:HFLOW",
}
DEFAULT = next(iter(SYSTEMS))


@functools.cache
def describe(name: str) -> Description:
    """The description of the system ``name``, which is a key of :data:`SYSTEMS`."""
    folder, _, attribute = SYSTEMS[name].partition(":")
    return getattr(import_module(f".{folder}", __package__), attribute)


def descriptions() -> tuple[Description, ...]:
    """The descriptions of all systems."""
    return tuple(describe(name) for name in SYSTEMS)


def find_system(name: str) -> Description:
    """The system of a name, in any case, or of a name that its publication uses.

    Raises:
        UserError: there is no such system.
    """
    for description in descriptions():
        if description.matches(name) is not None:
            return description
    raise UserError(f"model {shown(name)} is not one of {', '.join(SYSTEMS)}{closest(name, SYSTEMS)}")


def create_system(config: Config, training: bool = True) -> "System":
    """Build the system that ``config.model`` names, with freshly initialised networks."""
    return find_system(config.model).load()(config, training)
