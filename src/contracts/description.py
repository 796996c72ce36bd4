"""The description of a system, which the registry reads without importing the system."""

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
    """The declaration of a system in its folder.

    Attributes:
        name: value of option ``model``.
        options: owners of its options: those of its data first, then its own.
        package: ``__name__`` of the folder.
        system: ``module:class`` in that folder.
        also: other names of the system, as patterns in lower case, with the options that such a name sets; the first
            matching pattern is used.
        preset: ``module:function`` in that folder: ``(content, source)``, the first document of a file with nested
            values, to the options that it stands for; None for a file of another layout.
    """

    name: str
    options: tuple[Owner, ...]
    package: str
    system: str
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: str = ""

    def load(self) -> "type[System]":
        """The class, imported when it is first asked for."""
        return self._import(self.system)

    def read_preset(self, content: Mapping[str, Any], source: str) -> Mapping[str, Any] | None:
        """The options of a file in the layout of the publication; None for any other file."""
        return self._import(self.preset)(content, source) if self.preset else None

    def _import(self, place: str) -> Any:
        module, _, attribute = place.partition(":")
        return getattr(import_module(f".{module}", self.package), attribute)

    def matches(self, name: str) -> Mapping[str, Any] | None:
        """The options that ``name`` sets if it is a name of this system, in any case; else None."""
        name = name.lower()
        if name == self.name.lower():
            return {}
        return next((values for pattern, values in self.also.items() if fnmatchcase(name, pattern)), None)
