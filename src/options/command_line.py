"""The command line: words to options, and the text of ``--help``."""

__all__ = ["help_text", "parse_words"]

import textwrap
from collections.abc import Sequence
from itertools import groupby

from ..utils.errors import UserError
from .owner import Program
from .schema import Option, Schema
from .text import shown
from .values import BARE

_WIDTH = 110


def parse_words(argv: Sequence[str]) -> dict[str, str]:
    """Split ``--key value``, ``--key=value``, ``--key value value`` (a list) and bare ``--flag`` (True) into texts.

    Raises:
        UserError: a word does not belong to an option.
    """
    options: dict[str, str] = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise UserError(f"unexpected word {shown(word)} on the command line: options look like --key value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            values = []
            while words and not words[0].startswith("--"):
                values.append(words.pop(0))
            value = " ".join(values) if values else BARE
        options[key] = value
    return options


def help_text(program: Program, schema: Schema) -> str:
    """Usage, two examples, and every option with its default, grouped by owner."""
    lines = [f"usage: {program.name} [--config_path PRESET] [--key value ...]", "", program.purpose, ""]
    lines += ["examples:", *(f"  {example}" for example in program.examples)]
    for owner, options in groupby(schema.order(), key=lambda option: option.owner.name):
        lines += ["", f"{owner}:"]
        for option in options:
            lines += _described(option)
    others = ", ".join(f"{other} = {name}" for other, name in schema.other_names.items())
    if others:
        lines += ["", *textwrap.wrap(f"other names that are understood: {others}", _WIDTH)]
    return "\n".join(lines)


def _described(option: Option) -> list[str]:
    allowed = option.choices
    note = f" [{', '.join(str(a) for a in allowed)}]" if isinstance(allowed, list) else ""
    head = f"  --{option.name} {option.default!r}{note}"
    return [head, *textwrap.wrap(option.help, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]
