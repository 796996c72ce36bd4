"""Which CANN belongs to which MindSpore, and the CANN of this host."""

__all__ = ["PAIRS", "cann_notice", "installed_cann"]

import os
import re
from pathlib import Path

_MINDFORMERS = "https://www.mindspore.cn/mindformers/docs/en/r1.9.0/installation.html"
#: MindSpore to the CANN that it is released with, and the page that says so; "" where none was found
PAIRS = {
    "2.7.0": ("8.2.RC1", _MINDFORMERS),
    "2.7.1": ("8.3.RC1", _MINDFORMERS),
    "2.7.2": ("8.5.0", _MINDFORMERS),
    "2.8.0": ("", ""),
    "2.9.0": ("9.0.0", _MINDFORMERS),
    "2.10.0": ("", ""),
}
# one file by layout: set_env.sh of the toolkit, of its "latest" link, and of CANN from pip
_FILES = ("compiler/version.info", "version.cfg", "version.info", "ascend_toolkit_install.info")
_PLACES = ("", "..", "*-linux")
_VERSION = re.compile(
    r"(?mi)^\s*(?:version|toolkit_installed_version|toolkit_running_version)\s*=\s*\[?[^\d\n]*(\d[\w.]*)"
)


def installed_cann(home: str | None = None) -> str:
    """The version of the CANN that ``set_env.sh`` has chosen, such as ``8.5.0``; empty if there is none to be read.

    Args:
        home: the folder of CANN; the environment's ``ASCEND_HOME_PATH`` by default.
    """
    folder = home or os.environ.get("ASCEND_HOME_PATH") or os.environ.get("ASCEND_TOOLKIT_HOME", "")
    if not folder:
        return ""
    for place in _PLACES:
        for name in _FILES:
            for path in sorted(Path(folder).glob(f"{place}/{name}" if place else name)):
                try:
                    found = _VERSION.search(path.read_text(encoding="utf-8", errors="replace")[:10_000])
                except OSError:
                    continue
                if found:
                    return found[1]
    return ""


def cann_notice(mindspore: str, cann: str) -> str:
    """What to tell a user of ``mindspore`` whose CANN is ``cann``: empty if they belong together.

    Only the first two numbers are compared: MindSpore itself looks no closer, and patches of CANN change the third.
    """
    if not cann:
        return "the version of CANN is unknown: source its set_env.sh in this shell (docs/ascend.md)"
    wanted = PAIRS.get(mindspore, ("", ""))[0]
    if not wanted:
        return f"no published pair of CANN is known for MindSpore {mindspore}; this host has CANN {cann}"
    if _short(wanted) == _short(cann):
        return ""
    others = [version for version, (pair, _) in PAIRS.items() if pair and _short(pair) == _short(cann)]
    other = f", or install MindSpore {others[-1]}, the pair of CANN {cann}" if others else ""
    return (
        f"CANN {cann} does not belong to MindSpore {mindspore}, which is released with CANN {wanted}: install that and "
        f"source its set_env.sh{other}"
    )


def _short(version: str) -> list[str]:
    return version.split(".")[:2]
