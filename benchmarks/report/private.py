"""Taking out of a report what says who made it and where."""

__all__ = ["without_names"]

import getpass
import re
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = re.compile(
    r"(?<![\d.])(?!0\.0\.0\.0|127\.)(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d.])"
)


def without_names(text: str, output: Path) -> str:
    """``text`` without paths of this host, its name, the user's name and IP addresses."""
    places = {str(output): "OUTPUT", str(ROOT): "PROJECT", sys.prefix: "PYTHON", tempfile.gettempdir(): "TEMPORARY"}
    places |= {str(Path.home()): "HOME"}
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:
            text = text.replace(place, places[place])
    for name, word in ((socket.gethostname(), "HOST"), (_user(), "USER")):
        # a name such as "a" or "root" also stands in words that say something
        if len(name) > 3 and name != "root":
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text)
    return _ADDRESS.sub("ADDRESS", text)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
