"""The editor's server against everything but its own page: secrets, paths, sizes, malformed messages."""

import base64
import http.client
import json
import random
import socket

import numpy as np
import pytest

from src.editing.documents import MAX_PIXELS, instances_of, label_source
from src.editing.objects import harvest
from src.editing.store import save_edit
from src.editing.wire import LONGEST_MESSAGE, pack, unpack
from src.utils.errors import UserError
from tests.editing.pages import served
from tests.saved_runs import save_clusters, save_run
from tests.tiny_runs import make_streets

HEADER = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    data = make_streets(folder / "data", train=1, test=1)
    run = save_run(folder, "feat", data_root=data)
    save_clusters(run)
    with served(run, folder / "edits") as server:
        yield server


def ask(server, path, method="GET", body=None, secret=True, **headers):
    """Status, headers and body of an answer; ``path`` is what follows the secret."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{server.token}/{path}" if secret else path, body, names)
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


def message(server, **changes):
    """What the page would send for the first document, with arrays replaced."""
    document = server.studio.source.open(0)
    arrays = {"label": document.label, "inst": document.inst} | changes.pop("arrays", {})
    header = {"name": "a", "document": 0, "settings": {"styles": {}}} | changes
    return pack(header, {name: array for name, array in arrays.items() if array is not None})


def test_the_page_is_served(world):
    status, headers, body = ask(world, "")
    assert status == 200 and b"<!doctype html>" in body
    assert (
        headers["Content-Security-Policy"].startswith("default-src 'self'") and headers["Cache-Control"] == "no-store"
    )
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in body.replace(b"http-equiv", b""), "nothing comes from elsewhere"
    about = json.loads(ask(world, "about")[2])
    assert about["documents"] == ["scene_00000"] and len(about["classes"]) == 35
    assert world.server_address[0] == "127.0.0.1"
    header, arrays = unpack(ask(world, "document/0")[2])
    assert header["size"] == [64, 32] and set(arrays) == {"label", "inst", "photo"}
    status, headers, body = ask(world, "draw", "POST", message(world), **HEADER)
    assert status == 200 and body.startswith(b"\x89PNG") and float(headers["X-Milliseconds"]) > 0


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/about",
        "//about",
        "/wrong/about",
        "/{t}about",
        "/{t}",
        "/{T}/about",
        "/{t}x/about",
        "x",
        "/%s/about" % ("a" * 9000),
    ],
)
def test_nobody_without_the_secret(world, path):
    path = path.replace("{t}", world.token[:-1]).replace("{T}", world.token.swapcase())
    assert ask(world, path, secret=False)[0] == 403
    assert ask(world, path, "POST", b"", secret=False)[0] == 403


def test_nobody_from_another_page_or_name(world):
    port = world.server_address[1]
    assert ask(world, "about", Host=f"localhost:{port}")[0] == 200
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1"):
        assert ask(world, "about", Host=host)[0] == 403
    assert ask(world, "about", Origin=f"http://127.0.0.1:{port}")[0] == 200
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{port}"):
        assert ask(world, "draw", "POST", message(world), Origin=origin, **HEADER)[0] == 403
    # what a form of another page can send without being asked
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert ask(world, "draw", "POST", message(world), Content_Type=kind)[0] == 415


@pytest.mark.parametrize(
    "path",
    [
        "assets/../server.py", "assets/..%2fserver.py", "assets/%2e%2e/server.py", "../../../../etc/passwd",
        "assets//etc/passwd", "assets/", "assets", "document/../about", "document/-1", "document/1e3", "document/",
        "document/0/0", "document/%D9%A3", "thumbnail/0x0", "look/0", "about/", "save", "draw", "assets/app.js%00.html",
        "..\\server.py", "nothing",
    ],
)  # fmt: skip
def test_there_are_no_paths(world, path):
    assert ask(world, path)[0] == 404


def test_sizes_are_limited(world):
    """A length that is too large is refused before anything is read."""
    port = world.server_address[1]
    for length, status in ((LONGEST_MESSAGE + 1, 413), (10**30, 413), (-1, 411), ("x", 411), ("", 411)):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
            head = f"POST /{world.token}/draw HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n"
            raw.sendall(head.encode())
            answer = raw.recv(1 << 16)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:80]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        head = f"POST /{world.token}/draw HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(1 << 16).startswith(b"HTTP/1.1 411 ")
    for shape in ([1, MAX_PIXELS + 1], [4096, 4096], [0, 1], [2, 2, 4], [2], [True, 2]):
        text = json.dumps({"arrays": [["label", "u16", shape]]}).encode()
        status, _, body = ask(world, "draw", "POST", len(text).to_bytes(4, "little") + text, **HEADER)
        assert status == 400 and b"array of a message" in body
    assert ask(world, "about", "PUT")[0] == 501 and ask(world, "document/7")[0] == 400


def test_mistakes_are_told(world):
    label = world.studio.source.open(0).label
    for changes, text in (
        ({"arrays": {"label": np.full_like(label, 35)}}, "label 35 is not below label_nc 35"),
        ({"arrays": {"inst": np.zeros((3, 3), np.uint16)}}, "differ in size"),
        ({"arrays": {"label": None}}, "lacks its label map"),
        ({"arrays": {"label": label.astype(np.uint8)}}, "lacks its label map"),
        ({"settings": []}, "settings"),
        ({"settings": {"styles": {"7": [0.1, 0.2]}}}, "3 numbers"),
        ({"settings": {"styles": {"7": "red"}}}, "3 numbers"),
        ({"settings": {"styles": {"7": [None, 0, 0]}}}, "3 numbers"),
        ({"document": 99}, "lacks nothing"),
    ):
        status, headers, body = ask(world, "draw", "POST", message(world, **changes), **HEADER)
        if text == "lacks nothing":
            assert status == 200
        else:
            assert status == 400 and text in json.loads(body)["error"] and headers["Content-Type"] == "application/json"


def test_mutated_messages_are_refused_or_drawn(world):
    """Whatever bytes arrive: an array, or an error with a text."""
    good = message(world)
    rng = random.Random(7)
    ends = {"read": 0, "refused": 0}
    for _ in range(1500):
        bad = bytearray(good)
        for _ in range(rng.choice((1, 2, 8))):
            bad[rng.choice((rng.randrange(160), rng.randrange(len(bad)))) % len(bad)] = rng.randrange(256)
        if rng.random() < 0.3:
            bad = bad[: rng.randrange(len(bad))]
        try:
            unpack(bytes(bad))
            ends["read"] += 1
        except UserError:
            ends["refused"] += 1
    assert min(ends.values()) > 100
    for bad in (b"", b"\0\0\0", b"\xff\xff\xff\xff{}", b"\2\0\0\0[]", b"\4\0\0\0NaNN", b"\3\0\0\0NaN"):
        assert ask(world, "draw", "POST", bad, **HEADER)[0] == 400
    deep = b'{"settings": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert ask(world, "draw", "POST", len(deep).to_bytes(4, "little") + deep, **HEADER)[0] == 400


def test_nothing_is_overwritten(world, tmp_path):
    document = world.studio.source.open(0)
    document.name = "../../etc/päss word"
    picture = np.zeros((32, 64, 3), np.uint8)
    folders = [save_edit(tmp_path / "edits", document, picture, {"a": k}, 35, {}) for k in range(2)]
    assert [f.parent for f in folders] == [tmp_path / "edits"] * 2 and folders[0] != folders[1]
    assert [json.loads((f / "edit.json").read_text())["settings"]["a"] for f in folders] == [0, 1]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        save_edit(tmp_path / "file", document, picture, {}, 35, {})
    with pytest.raises(UserError, match="cannot be used"):
        type(world)(world.studio, world.worker, tmp_path, world.server_address[1])


def test_documents(tmp_path):
    """Maps without instances get them; objects are cut out of maps; a label that the model lacks is refused."""
    root = make_streets(tmp_path / "data", train=1, test=1)
    label = np.zeros((8, 12), np.int32)
    label[2:4, 2:4] = label[2:4, 8:11] = 26
    inst = instances_of(label, frozenset({26}))
    assert set(np.unique(inst)) == {0, 26000, 26001} and (inst[2:4, 2:4] == 26000).all()
    source = label_source(root, "test", 35, lambda w, h: (w // 2, h // 2))
    document = source.open(0)
    assert document.label.shape == (16, 32) and document.photo.shape == (16, 32, 3)
    listed = label_source(root, "test", 35, lambda w, h: (w, h), labels=str(root / "train_label"))
    assert listed.open(0).photo is None
    entry = harvest(source, 35)[0]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(entry["mask"]), np.uint8).reshape(entry["height"], -1), axis=1)
    box = document.label[entry["y"] : entry["y"] + entry["height"], entry["x"] : entry["x"] + entry["width"]]
    assert (box[bits[:, : entry["width"]] == 1] == entry["label"]).all()
    with pytest.raises(UserError, match="not below label_nc 5"):
        label_source(root, "test", 5, lambda w, h: (w, h)).open(0)
    with pytest.raises(UserError, match="pass --data_root"):
        label_source(tmp_path, "test", 35, lambda w, h: (w, h))
    with pytest.raises(UserError, match="--width"):
        label_source(root, "test", 35, lambda w, h: (9000, 9000)).open(0)
