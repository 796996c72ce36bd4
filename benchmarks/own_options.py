"""The command line of a benchmark: options of its own, and those of train.py, which it hands on."""

__all__ = ["read_own", "words_of"]

from collections.abc import Mapping

from src.options.command_line import parse_words


def read_own(argv: list[str], defaults: Mapping[str, str], help_text: str | None) -> tuple[dict[str, str], dict]:
    """The options in ``defaults``, and all others. ``--help`` prints ``help_text`` and leaves the program."""
    if any(word in ("--help", "-h") for word in argv):
        print(help_text)
        raise SystemExit(0)
    options = parse_words(argv)
    return {key: options.pop(key, value) for key, value in defaults.items()}, options


def words_of(options: Mapping[str, str]) -> list[str]:
    """The words that give ``options`` to another program."""
    return [word for key, value in options.items() for word in (f"--{key}", value)]
