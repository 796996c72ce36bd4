"""The one exception type for everything a user can cause and can mend."""

__all__ = ["UserError", "run_command"]

import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in options, files or data: the message names the value, the file and the way out."""


def run_command(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> None:
    """Run an entry script's ``main`` and exit with its status.

    A :class:`UserError` is printed without a traceback and exits with status 2, so that shell scripts stop there.
    """
    try:
        status = main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    sys.exit(status or 0)
