"""The gallery's page as text: template, style and script in one file, the data inside as harmless JSON."""

__all__ = ["VERSION", "read_page", "render_page"]

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

VERSION = 1
"""Version of the data in the page; pages of another version are not read."""

_ASSETS = Path(__file__).with_name("gallery_assets")
_DATA = re.compile(r'<script type="application/json" id="gallery-data">(.*?)</script>', re.DOTALL)
# "</script" inside the data would end the element that holds it.
_ESCAPES = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&"})


def render_page(state: Mapping) -> str:
    """Return the page that shows ``state`` (JSON-able, as the gallery keeps it).

    Whatever the state holds is text: it is escaped here, and the script makes text nodes of it, never
    markup. A content security policy lets no script run but the page's own.
    """
    data = dict(state) | {"version": VERSION, "results": list(state["results"].values())}
    script = _asset("chart.js") + _asset("lightbox.js") + _asset("gallery.js")
    parts = {
        # File names may hold bytes that are no text; the JSON can say them, the markup cannot.
        "title": html.escape(str(state["title"]).encode("utf-8", "replace").decode()),
        "style": _asset("style.css"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "data": json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_ESCAPES),
    }
    # One pass: a title or a stem that looks like a placeholder stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _asset("page.html"))


def read_page(path: str | os.PathLike) -> dict | None:
    """Return the state in a page that :func:`render_page` made, or None if it is none of this version."""
    try:
        found = _DATA.search(Path(path).read_text(encoding="utf-8"))
        state = json.loads(found[1])
        if state["version"] != VERSION:
            return None
        state["results"] = {entry["stem"]: entry for entry in state["results"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
