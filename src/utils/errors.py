"""The exception type for all errors that a user can cause and correct."""

__all__ = ["UserError", "run_command", "shown"]

import io
import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in options, files or data: the message names the value, the file and the way out."""


def shown(value: object, most: int = 200) -> str:
    """Return a value from a file in a printable form: one line of at most ``most`` characters.

    Control characters are escaped. For anything but text, bytes and ordinary numbers only the type is named, because
    printing it could take for ever.
    """
    if isinstance(value, bytes):
        value = value[: most + 1].decode("latin1")
    if isinstance(value, str):
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value[:most])
        return f"{text}..." if len(value) > most else text
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return str(value)
    return f"a value of the type {type(value).__name__}"


def run_command(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> None:
    """Run an entry script's ``main`` and exit with its status.

    A :class:`UserError` is printed without a traceback and exits with status 2, so that shell scripts stop there.
    Ctrl-C exits with 130, a closed pipe with 141. Letters that the locale lacks are printed as escapes.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr, flush=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of the pipe has closed it, as head does: nothing more can be printed, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    sys.exit(status or 0)
