"""The gallery's page as text: template, style and script in one file, with the data as escaped JSON."""

__all__ = ["VERSION", "read_page", "render_page"]

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..utils.files import read_small
from ..utils.text import readable

VERSION = 1
"""Version of the data in the page; pages of another version are not read."""

_MOST_BYTES = 256 << 20
_ASSETS = Path(__file__).with_name("assets")
_DATA = re.compile(r'<script type="application/json" id="gallery-data">(.*?)</script>', re.DOTALL)
# what image_record makes; "%00" is in no file's name
_ADDRESS = re.compile(r"images/(?:[A-Za-z0-9/._~-]|%(?!00)[0-9A-F]{2})+")
# "</script" inside the data would end the element that holds it.
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&"})


def render_page(state: Mapping) -> str:
    """Return the page that shows ``state`` (JSON-able, as the gallery keeps it).

    Everything in the state is text: it is escaped here, and the script makes text nodes of it, never markup. A content
    security policy allows only the page's own script.
    """
    data = dict(state) | {"version": VERSION, "results": list(state["results"].values())}
    script = _asset("chart.js") + _asset("lightbox.js") + _asset("gallery.js")
    parts = {
        "title": html.escape(readable(str(state["title"]))),
        "style": _asset("style.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_ESCAPES),
    }
    # One pass: a title or a stem that looks like a placeholder is not replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


def read_page(path: str | os.PathLike) -> dict | None:
    """Return the state in a page that :func:`render_page` made, or None if the page is not of this version."""
    try:
        found = _DATA.search(read_small(path, _MOST_BYTES).decode("utf-8"))
        if found is None:
            return None
        state = json.loads(found[1])
        _check(state)
        state["results"] = {entry["stem"]: entry for entry in state["results"]}
    except (AttributeError, OSError, LookupError, RecursionError, TypeError, ValueError):
        return None
    return state


def _check(state: dict) -> None:
    """Raise one of several errors if the state is not one that the gallery writes: pages can be edited by hand."""
    json.dumps(state, allow_nan=False)
    kinds = {"version": int, "title": str, "training": list, "results": list, "options": list, "notes": list}
    if state["version"] != VERSION or any(type(state[part]) is not kind for part, kind in kinds.items()):
        raise ValueError("no state of this version")
    if type(state["losses"]) not in (dict, type(None)) or any(type(note) is not str for note in state["notes"]):
        raise ValueError("curves or notes of another kind")
    if any([type(part) for part in row] != [str, str] for row in state["options"]):
        raise ValueError("an option without name and value")
    for entry in state["training"]:
        if type(entry["epoch"]) is not int or type(entry["iteration"]) is not int:
            raise ValueError("a snapshot without its place")
    for entry in state["results"]:
        if type(entry["stem"]) is not str or type(entry["numbers"]) is not dict:
            raise ValueError("a result without name or numbers")
    for entry in (*state["training"], *state["results"]):
        for image in entry["images"].values():
            if not (_ADDRESS.fullmatch(image["src"]) and _ADDRESS.fullmatch(image.get("thumb", image["src"]))):
                raise ValueError("an image somewhere else")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
