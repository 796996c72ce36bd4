"""The report of an examination of a data set."""

__all__ = ["Report"]

from dataclasses import dataclass, field

from ..utils.text import counted

_MOST_LISTED = 20


@dataclass
class Report:
    """The findings: ``problems`` stop a run, ``notices`` are advice, ``facts`` are names and values."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report as a table for the console."""
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [f"  {name:<{width}}  {value}" for name, value in self.facts]
        for noun, entries in (("notice", self.notices), ("problem", self.problems)):
            lines.append(counted(len(entries), noun) + (":" if entries else ""))
            lines += [f"  - {entry}" for entry in entries[:_MOST_LISTED]]
            if len(entries) > _MOST_LISTED:
                lines.append(f"  ... and {len(entries) - _MOST_LISTED} more")
        return "\n".join(lines)
