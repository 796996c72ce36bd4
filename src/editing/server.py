"""The editor's server: one page, on this machine only, behind a secret in its address.

Standard library only. It listens on 127.0.0.1 only. The secret keeps out other pages in the same browser; the check of
the Host header keeps out names that a foreign server points at this machine. No part of a request becomes a path.
"""

__all__ = ["EditorServer"]

import hmac
import json
import secrets
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..dataset.transforms import resize_ids, resize_photo
from ..imaging.images import encode_png
from ..imaging.palette import colour_labels
from ..utils.errors import UserError
from .documents import Document, document_of
from .objects import harvest
from .store import image_of_edit, open_edit, save_edit, saved_edits
from .studio import Studio
from .values import settings_of, text, whole
from .wire import LONGEST_MESSAGE, pack, unpack
from .work import Worker

_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
_THUMBNAIL = 176
_PNG = "image/png"
_JSON = "application/json"
_BINARY = "application/octet-stream"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Answer = tuple[str, bytes, dict[str, str]]


class _Refused(Exception):
    """A request that is refused with a status and a message."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status = status


class EditorServer(ThreadingHTTPServer):
    """Serves one studio; all calls of the model go through ``worker``.

    Args:
        port: 0 takes a free one.
        save_dir: where edits are saved.
    """

    daemon_threads = True

    def __init__(self, studio: Studio, worker: Worker, save_dir: Path, port: int = 0):
        self.studio, self.worker, self.save_dir = studio, worker, save_dir
        self.about = studio.about()
        self.token = secrets.token_urlsafe(24)
        # no path of a request is ever joined to a folder: only the files listed here are served
        self.assets = {path.name: path for path in sorted(_ASSETS.iterdir()) if path.suffix in _TYPES}
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} cannot be used ({error}): pass another --port, or 0 for a free one") from None
        self.thumbnail = lru_cache(256)(self._thumbnail)
        self.photo = lru_cache(2)(lambda index: studio.source.open(index).photo)
        self.objects = lru_cache(1)(lambda: harvest(studio.source, studio.label_nc))

    @property
    def url(self) -> str:
        """The page's address with its secret."""
        return f"http://127.0.0.1:{self.server_address[1]}/{self.token}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Allowed values of the Host header."""
        return tuple(f"{name}:{self.server_address[1]}" for name in ("127.0.0.1", "localhost"))

    # -- answers ---------------------------------------------------------------------------------------------

    def get(self, words: list[str]) -> Answer:
        """Answer to GET; ``words`` are the parts of the path after the secret."""
        match words:
            case [""]:
                return self._asset("index.html")
            case ["assets", name]:
                return self._asset(name)
            case ["about"]:
                return _JSON, json.dumps(self.about).encode(), {}
            case ["document", number]:
                return self._document(_index(number))
            case ["thumbnail", number]:
                return _PNG, self.thumbnail(_index(number)), {}
            case ["look", number] if any(control["type"] == "look" for control in self.about["controls"]):
                return _PNG, encode_png(_small(self.studio.styles.open(_index(number)).array("rgb"))), {}
            case ["objects"]:
                return _JSON, json.dumps(self.objects()).encode(), {}
            case ["edits"]:
                return _JSON, json.dumps(saved_edits(self.save_dir, self.about)).encode(), {}
            case ["edit", name]:
                document, settings = open_edit(self.save_dir, unquote(name), self.about, self.studio.label_nc)
                return _BINARY, _packed(document, settings=settings), {}
            case ["edit", name, "image"]:
                return _PNG, encode_png(_small(image_of_edit(self.save_dir, unquote(name)))), {}
        raise _Refused(404, "there is no such page")

    def post(self, words: list[str], body: bytes) -> Answer:
        """Answer to POST."""
        match words:
            case ["draw"]:
                document, settings = self._received(body)
                picture, taken = self._drawn(document, settings)
                return _PNG, encode_png(picture, photo=True), {"X-Milliseconds": f"{1000 * taken:.1f}"}
            case ["save"]:
                document, settings = self._received(body)
                picture, _ = self._drawn(document, settings)
                model = self.studio.model
                origin = {"run": str(model.folder.resolve()), "checkpoint": model.tag, "system": model.system.name}
                folder = save_edit(self.save_dir, document, picture, settings, self.studio.label_nc, origin)
                return _JSON, json.dumps({"folder": str(folder)}).encode(), {}
        raise _Refused(404, "there is no such page")

    def _asset(self, name: str) -> Answer:
        path = self.assets.get(name)
        if path is None:
            raise _Refused(404, "there is no such page")
        return f"{_TYPES[path.suffix]}; charset=utf-8", path.read_bytes(), {}

    def _document(self, index: int) -> Answer:
        document, styles = self.worker.call(lambda: self.studio.open(index))
        return _BINARY, _packed(document, styles={str(k): v for k, v in styles.items()}), {}

    def _thumbnail(self, index: int) -> bytes:
        document = self.studio.source.open(index)
        if document.label is None:
            return encode_png(_small(document.array("rgb")))
        scale = _THUMBNAIL / max(document.size)
        width, height = (max(1, round(side * scale)) for side in document.size)
        return encode_png(colour_labels(resize_ids(document.label, (width, height)), self.studio.label_nc))

    def _received(self, body: bytes) -> tuple[Document, dict[str, Any]]:
        """The document and the settings of a request, checked."""
        header, arrays = unpack(body)
        studio, names = self.studio, self.studio.source.names
        settings = settings_of(header.get("settings", {}), self.about)
        name = text(header.get("name", "edit"), "name")
        document = document_of(name, studio.source.kind, arrays, studio.label_nc)
        # the real image stays on the server: a request only names its document
        if header.get("document") is not None:
            index = whole(header["document"], "document", 0, len(names) - 1)
            photo = self.photo(index) if studio.uses_photos else None
            document.photo = photo if photo is not None and photo.shape[:2] == document.array("label").shape else None
        return document, settings

    def _drawn(self, document: Document, settings: dict[str, Any]) -> tuple[np.ndarray, float]:
        def draw() -> tuple[np.ndarray, float]:
            start = time.perf_counter()
            picture = self.studio.draw(document, settings)
            return picture, time.perf_counter() - start

        return self.worker.call(draw)


def _index(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 9):
        raise _Refused(404, "there is no such page")
    return int(word)


def _packed(document: Document, **more: Any) -> bytes:
    """A document as a message for the page, with ``more`` in the header."""
    names = ("label", "inst", "rgb", "photo")
    arrays = {name: getattr(document, name) for name in names if getattr(document, name) is not None}
    return pack({"name": document.name, "size": document.size, **more}, arrays)


def _small(rgb: np.ndarray) -> np.ndarray:
    scale = min(1.0, _THUMBNAIL / max(rgb.shape[:2]))
    return resize_photo(rgb, (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))))


class _Handler(BaseHTTPRequestHandler):
    """One request: its address is checked before anything else is read."""

    server: EditorServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._answer(self.server.get)

    def do_POST(self) -> None:
        self._answer(lambda words: self.server.post(words, self._body()))

    def _answer(self, handle: Callable[[list[str]], Answer]) -> None:
        try:
            kind, body, headers = handle(self._words())
        except _Refused as refusal:
            # unread bytes would be taken for the next request
            self.close_connection = True
            self._send(refusal.status, _JSON, json.dumps({"error": str(refusal)}).encode())
        except UserError as error:
            self._send(400, _JSON, json.dumps({"error": str(error)}).encode())
        except (BrokenPipeError, ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            traceback.print_exc()
            text = f"the server failed ({type(error).__name__}): its console says more"
            self._send(500, _JSON, json.dumps({"error": text}).encode())
        else:
            self._send(200, kind, body, headers)

    def _words(self) -> list[str]:
        """The parts of the path after the secret."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise _Refused(403, "this address is not served here")
        path = self.path.split("?", 1)[0]
        token, slash, rest = path.removeprefix("/").partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(403, "the address lacks the secret that the console shows")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise _Refused(403, "another page asked")
        return rest.split("/")

    def _body(self) -> bytes:
        text = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdigit()):
            raise _Refused(411, "the length of the request is missing")
        if len(text) > 12 or int(text) > LONGEST_MESSAGE:
            raise _Refused(413, f"the request has {text[:12]} bytes, more than {LONGEST_MESSAGE}")
        if self.headers.get("Content-Type", "") != _BINARY:
            raise _Refused(415, f"the request is not {_BINARY}")
        body = self.rfile.read(int(text))
        if len(body) != int(text):
            raise _Refused(400, "the request ended early")
        return body

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in {**_HEADERS, **(headers or {}), "Content-Type": kind}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def version_string(self) -> str:
        return "editor"

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing, because the address holds the secret."""
