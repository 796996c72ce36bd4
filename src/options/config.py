"""Resolved options: read-only attributes, of one run or of a part of its owners."""

__all__ = ["Config"]

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from .owner import Owner
from .schema import Schema
from .text import closest


class Config:
    """Resolved options with attribute access; immutable, :meth:`replace` makes a changed copy.

    Args:
        values: every option by name.
        explicit: names that the command line set, as opposed to presets, runs and defaults.
        schema: definitions of the options.
        kept: options for other programs that a preset gave: stored with a run, so that evaluation finds them.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        explicit: Iterable[str] = (),
        schema: Schema | None = None,
        kept: Mapping[str, Any] | None = None,
    ):
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "explicit", frozenset(explicit))
        object.__setattr__(self, "schema", schema)
        object.__setattr__(self, "kept", dict(kept or {}))

    def __getattr__(self, key: str) -> Any:
        values = object.__getattribute__(self, "_values")
        if key in values:
            return values[key]
        raise AttributeError(f"there is no option {key}{closest(key, values)}")

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError("a configuration is immutable: use replace()")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __reduce__(self) -> tuple:
        return Config, (self._values, tuple(self.explicit), self.schema, self.kept)

    def replace(self, **changes: Any) -> "Config":
        """A copy with ``changes``; keys must exist."""
        for key in changes:
            self[key]
        return Config(self._values | changes, self.explicit, self.schema, self.kept)

    def __getitem__(self, key: str) -> Any:
        return self.__getattr__(key)

    def part(self, *owners: Owner) -> "Config":
        """Only the options of ``owners`` and of every run."""
        wanted = {*owners, *self.schema.owners[:1]}
        names = [option.name for option in self.schema.options.values() if option.owner in wanted]
        return Config({name: self._values[name] for name in names}, self.explicit, self.schema)

    def to_dict(self) -> dict[str, Any]:
        """All options as plain values, with those kept for other programs."""
        return self.kept | self._values

    def dump(self) -> str:
        """YAML text that ``--config_path`` reads back."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
