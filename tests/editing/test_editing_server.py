"""The editor's server against everything but its own page: secrets, paths, sizes, malformed messages."""

import base64
import json
import random
import re
import socket

import numpy as np
import pytest

from src.editing.documents import MAX_PIXELS, instances_of, label_source
from src.editing.objects import harvest
from src.editing.store import save_edit
from src.editing.values import settings_of
from src.editing.wire import LONGEST_MESSAGE, pack, unpack
from src.imaging.images import decode_png
from src.utils.errors import UserError
from tests.editing.pages import ask, served
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
        ({"document": 99}, "document: 99 is not a whole number from 0 to 0"),
    ):
        status, headers, body = ask(world, "draw", "POST", message(world, **changes), **HEADER)
        assert status == 400 and text in json.loads(body)["error"] and headers["Content-Type"] == "application/json"
    assert ask(world, "draw", "POST", message(world, document=None), **HEADER)[0] == 200


def rewritten(world, old, new):
    """A good message with a part of its header replaced."""
    good = message(world, document=0, settings={"styles": {"7": [0.25, 0, 0]}})
    end = 4 + int.from_bytes(good[:4], "little")
    header = good[4:end].replace(old.encode(), new.encode())
    assert header != good[4:end]
    return len(header).to_bytes(4, "little") + header + good[end:]


@pytest.mark.parametrize(
    "value",
    [
        "9" * 400, "-" + "9" * 400, "9" * 5000, "0." + "9" * 400, "1e400", "-1e400", "1e" + "9" * 400, "1" * 31, "-1",
        "NaN", "Infinity", "-Infinity", "true", "false", "null", '"1"', '""', "[]", "{}", "[1]", '{"a": 1}', "1e300",
        "[" * 400 + "]" * 400, '"\\ud800"', '"' + "a" * 100_000 + '"', "0x1", "01", "1_0", "\u0661", "+1", "0.5", "",
    ],
    ids=lambda value: value[:12],
)  # fmt: skip
def test_no_value_of_a_request_breaks_the_server(world, value):
    """In the place of every number, text, list and object of a request: an answer, or an error of one line."""
    places = ("0.25", "[0.25, 0, 0]", '{"7": [0.25, 0, 0]}', '{"styles": {"7": [0.25, 0, 0]}}', '"document": 0', '"a"')
    shapes = ("[32, 64]", "32", '"u16"', '"label"', "[[")
    for old in places + shapes:
        new = old.replace("0", value) if old.startswith('"document') else value
        status, _, body = ask(world, "draw", "POST", rewritten(world, old, new), **HEADER)
        assert status in (200, 400), (old, body)
        if status == 400:
            error = json.loads(body)["error"]
            assert 10 < len(error) < 400 and error.isprintable(), error


@pytest.mark.parametrize(
    "value, reason",
    [
        ("9" * 400, "number of 400 characters"),
        ("1e400", "1e400 is not a finite number"),
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("true", "3 numbers in [-1, 1]"),
        ("[" * 400 + "]" * 400, "at most 8 levels"),
        ("", "is not JSON"),
    ],
)
def test_reasons_are_told(world, value, reason):
    status, _, body = ask(world, "draw", "POST", rewritten(world, "0.25", value), **HEADER)
    assert status == 400 and reason in json.loads(body)["error"]


CONTROLS = {
    "controls": [
        {"type": "levels", "names": ["8x8", "4x4"], "temperatures": [0.5, 1.0], "kept": True},
        {"type": "choice", "id": "direction", "options": [["A2B", "A to B"], ["B2A", "B to A"]]},
        {"type": "look", "id": "look", "names": ["a", "b", "c"]},
    ],
    "styles": {"count": 2},
}
FIRST = {
    "levels": [{"temperature": 0.5, "seed": 0, "keep": True}, {"temperature": 1.0, "seed": 0, "keep": True}],
    "direction": "A2B",
    "look": 0,
    "styles": {},
}


def test_settings_are_complete():
    assert (
        settings_of({}, CONTROLS)
        == settings_of(dict.fromkeys(FIRST), CONTROLS)
        == settings_of(FIRST, CONTROLS)
        == FIRST
    )
    given = {"levels": [{"seed": 2**31 - 1}, {"temperature": 10, "keep": False}], "direction": "B2A", "look": 2}
    found = settings_of(given | {"styles": {"26001": [1.0001, -1], "0": [0, 0.5]}}, CONTROLS)
    assert found["levels"] == [
        {"temperature": 0.5, "seed": 2**31 - 1, "keep": True}, {"temperature": 10.0, "seed": 0, "keep": False}
    ]  # fmt: skip
    assert (found["direction"], found["look"]) == ("B2A", 2)
    assert found["styles"] == {"26001": [1.0, -1.0], "0": [0.0, 0.5]}
    assert settings_of({}, {"controls": [], "styles": None}) == {}


@pytest.mark.parametrize(
    "given, reason",
    [
        ([], "settings: a value of the type list is not a JSON object"),
        ({"depth": 1}, "settings: depth is not one of levels, direction, look, styles"),
        ({"levels": 3}, "levels: 3 is not a list of 2"),
        ({"levels": [{}]}, "not a list of 2"),
        ({"levels": [{}, []]}, "level 1: a value of the type list is not a JSON object"),
        ({"levels": [{}, {"heat": 1}]}, "level 1: heat is not one of temperature, seed, keep"),
        ({"levels": [{"temperature": True}, {}]}, "temperature of level 0: True is not a number from 0 to 10"),
        ({"levels": [{"temperature": -0.1}, {}]}, "temperature of level 0: -0.1"),
        ({"levels": [{"temperature": "1"}, {}]}, "temperature of level 0: 1 is not a number"),
        ({"levels": [{"seed": 2**31}, {}]}, "seed of level 0: 2147483648 is not a whole number from 0 to 2147483647"),
        ({"levels": [{"seed": 1.0}, {}]}, "seed of level 0: 1.0"),
        ({"levels": [{"seed": True}, {}]}, "seed of level 0: True"),
        ({"levels": [{"keep": 1}, {}]}, "keep of level 0: 1 is neither true nor false"),
        ({"direction": "C2D"}, "direction: C2D is not one of A2B, B2A"),
        ({"direction": ["A2B"]}, "direction: a value of the type list"),
        ({"look": 3}, "look: 3 is not a whole number from 0 to 2"),
        ({"look": -1}, "look: -1"),
        ({"look": False}, "look: False"),
        ({"styles": []}, "styles: a value of the type list is not a JSON object"),
        ({"styles": {"65536": [0, 0]}}, "styles: 65536 is not the number of a region"),
        ({"styles": {"-1": [0, 0]}}, "styles: -1 is"),
        ({"styles": {"1e3": [0, 0]}}, "styles: 1e3 is"),
        ({"styles": {"\u0661": [0, 0]}}, "0 to 65535"),
        ({"styles": {"7": [0]}}, "style of 7: a value of the type list is not a list of 2 numbers in [-1, 1]"),
        ({"styles": {"7": [0, True]}}, "2 numbers"),
        ({"styles": {"7": {"0": 0, "1": 0}}}, "2 numbers"),
        ({"styles": {"7": 10**31}}, "2 numbers"),
    ],
)
def test_settings_out_of_range_are_refused(given, reason):
    with pytest.raises(UserError, match=re.escape(reason)):
        settings_of(given, CONTROLS)


@pytest.mark.parametrize("name", ["feat", "pictures", "cut", "cyclegan", "hierarchyflow", "fullglow_bmaps", "hflow"])
def test_sizes_below_the_network_s(name, tmp_path):
    """Documents of every small size are drawn: by networks for any size in their own."""
    data = make_streets(tmp_path / "data", train=1, test=1)
    run = save_run(tmp_path, name, **({} if name == "hflow" else {"data_root": data}))
    folders = {} if name in ("feat", "fullglow_bmaps") else {"pictures": data / "test_img"}
    folders |= {"styles": data / "test_img"} if name == "hierarchyflow" else {}
    fixed = {"fullglow_bmaps": (20, 40), "hflow": (32, 32)}
    with served(run, tmp_path / "edits", **folders) as server:
        for size in ((1, 1), (1, 2), (2, 1), (1, 64), (64, 1), (3, 3), (4, 4), (7, 5), (8, 8), (9, 17)):
            maps = {key: np.zeros(size, np.uint16) for key in ("label", "inst")}
            arrays = maps if server.studio.source.kind == "labels" else {"rgb": np.zeros((*size, 3), np.uint8)}
            status, _, body = ask(server, "draw", "POST", pack({"name": "a", "settings": {}}, arrays), **HEADER)
            assert status == 200, (size, body)
            assert decode_png(body).shape == (*fixed.get(name, size), 3)


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


@pytest.mark.parametrize("name", ["../../etc/päss word", "\U00020000" * 200, "..", "\ud800", "a\nb\0"])
def test_nothing_is_overwritten(world, tmp_path, name):
    document = world.studio.source.open(0)
    document.name = name
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
    with pytest.raises(UserError, match="--view_width"):
        label_source(root, "test", 35, lambda w, h: (9000, 9000)).open(0)
