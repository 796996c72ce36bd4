"""What the registry knows of a system without importing it."""

__all__ = ["Description"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..options.owner import Owner

if TYPE_CHECKING:
    from .system import System


@dataclass(frozen=True)
class Description:
    """A system, as its folder declares it.

    Attributes:
        name: value of option ``model``.
        options: the owners of its options: those of its data first, then its own.
        package: ``__name__`` of the folder.
        system: ``module:class`` in that folder.
        also: other names of the system, as patterns in lower case, with the options that such a name stands for; the
            first that matches counts.
    """

    name: str
    options: tuple[Owner, ...]
    package: str
    system: str
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def load(self) -> "type[System]":
        """The class, imported when it is first asked for."""
        module, _, attribute = self.system.partition(":")
        return getattr(import_module(f".{module}", self.package), attribute)

    def matches(self, name: str) -> Mapping[str, Any] | None:
        """The options that ``name`` stands for if it is a name of this system, in any case; else None."""
        name = name.lower()
        if name == self.name.lower():
            return {}
        return next((values for pattern, values in self.also.items() if fnmatchcase(name, pattern)), None)
