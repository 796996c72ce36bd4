"""The options of one run: the sum of those of its owners."""

__all__ = ["Option", "Schema"]

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..utils.errors import UserError
from .files import read_documents
from .owner import EVERY_RUN, Owner, Program
from .text import closest, shown
from .values import check_allowed, convert


@dataclass(frozen=True)
class Option:
    """An option: its name and owner, default (whose type it has), help, and the allowed values or range."""

    name: str
    owner: Owner
    default: Any
    help: str
    choices: Any = None

    def check(self, value: Any, source: str) -> Any:
        """``value`` in the type of the default; ``UserError`` unless it is allowed."""
        value = convert(self.name, value, self.default, source)
        check_allowed(self.name, value, self.choices, source)
        return value


class Schema:
    """Options of several owners by name.

    Args:
        owners: in the order of ``--help``; a later one may give an option of an earlier one another default, help
            or choices.
        others: all other owners, so that messages about their options name the owner.
    """

    def __init__(self, owners: Iterable[Owner], others: Iterable[Owner] = ()):
        self.options: dict[str, Option] = {}
        #: other names of options, and removed names with the replacement
        self.other_names: dict[str, str] = {}
        self.gone: dict[str, str] = {}
        self.owners = tuple(dict.fromkeys(owners))
        for owner in self.owners:
            self._add(owner)
        self._others = tuple(owner for owner in dict.fromkeys(others) if owner not in self.owners)

    def _add(self, owner: Owner) -> None:
        values, help_, choices, other_names, gone = _read(owner.path)
        for name in (*values, *(name for name in help_ if name not in values)):
            known = self.options.get(name)
            if known is None and name not in help_:
                # another default for an option that this program does not take
                continue
            if known is None:
                self.options[name] = Option(name, owner, values[name], help_[name], choices.get(name))
                continue
            self.options[name] = replace(
                known,
                default=values.get(name, known.default),
                help=help_.get(name, known.help),
                choices=choices.get(name, known.choices),
            )
        self.other_names |= {other: name for other, name in other_names.items() if name in self.options}
        self.gone |= gone

    def order(self) -> list[Option]:
        """All options, those of an owner together, in the order of its file."""
        return [self.options[name] for owner in self.owners for name in _read(owner.path)[0]
                if name in self.options and self.options[name].owner == owner]  # fmt: skip

    def defaults(self) -> dict[str, Any]:
        """The default of every option."""
        return {option.name: option.default for option in self.order()}

    def resolve(self, name: str) -> str:
        """The current name of an option that ``name`` names, by its own or by another name."""
        return name if name in self.options else self.other_names.get(name, name)

    def find(self, name: str, source: str, flag: str = "") -> Option:
        """The option ``name``.

        Raises:
            UserError: the option is another owner's (named in the message), removed, or unknown (with the
            closest name).
        """
        known = self.options.get(self.resolve(name))
        if known is not None:
            return known
        said = f"{flag}{shown(name)}"
        if name in self.gone:
            raise UserError(f"{source}unknown option {said} (no longer there: {self.gone[name]})")
        # the first is the owner, later owners change its default
        owner = next((o.name for o in self._others if name in _read(o.path)[0].keys() & _read(o.path)[1].keys()), "")
        if owner:
            raise UserError(f"{source}{said} is an option of {owner}, and this is {self.title}: leave it out")
        raise UserError(f"{source}unknown option {said}{closest(name, [*self.options, *self.other_names])}")

    def is_foreign_default(self, name: str, value: Any) -> bool:
        """Whether ``name`` is another owner's option and ``value`` its default."""
        found = [_read(other.path)[0] for other in self._others if name in _read(other.path)[1]]
        return bool(found) and any(values.get(name) == value for values in found)

    #: name of the schema for messages
    title = "another run"

    @classmethod
    def of(cls, program: Program, owners: Iterable[Owner], others: Iterable[Owner], title: str) -> "Schema":
        """The options of every run, of ``program``, and of those ``owners`` (data first, then system) that serve it."""
        taken = [owner for owner in (EVERY_RUN, *program.owners, *owners) if owner.serves(program)]
        schema = cls(taken, [*owners, *others])
        schema.title = title
        return schema


@functools.cache
def _read(path: Path) -> tuple[dict, dict, dict, dict, dict]:
    values, help_, choices, other_names, gone = read_documents(path)
    for key, allowed in choices.items():
        if not isinstance(allowed, list) and not _is_range(allowed):
            raise UserError(f"{path}: the choices of {key} are neither a list nor {{min: a, max: b}}")
    return values, help_, choices, other_names, gone


def _is_range(allowed: Any) -> bool:
    return isinstance(allowed, Mapping) and all(
        name in ("min", "max") and (bound is None or type(bound) in (int, float)) for name, bound in allowed.items()
    )
