"""The command line of a benchmark: options of its own, and those of train.py, which it hands on."""

__all__ = ["read_own", "training_config", "words_of"]

from collections.abc import Mapping
from typing import Any

from src.options.command_line import parse_words
from src.options.config import Config
from src.systems.programs import TRAIN, read_command
from src.utils.errors import UserError


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


def training_config(options: Mapping[str, str], own: Mapping[str, Any], instead: str) -> Config:
    """The options of a training: the user's, and those that the benchmark sets itself.

    Raises:
        UserError: as :func:`read_command`, or the user set one of the latter; the message names what there is
            ``instead``.
    """
    refused = [key for key in own if key in options]
    if refused:
        raise UserError(f"option {refused[0]} belongs to this benchmark: it has {instead} instead")
    return read_command(TRAIN, [f"--{key}={value}" for key, value in {**options, **own}.items()])[1]
