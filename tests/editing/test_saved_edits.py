"""Saved edits opened again: from the page as they were, from a server as files that anybody may have written."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest

from src.editing.documents import MAX_PIXELS, Document
from src.editing.store import image_of_edit, open_edit, save_edit, saved_edits
from src.imaging.images import write_png
from src.utils.errors import UserError
from tests.editing.pages import CAR, SKY, TREE, Page, ask, served
from tests.saved_runs import save_run
from tests.tiny_runs import make_streets

# -- from the page -------------------------------------------------------------------------------------------------


def state(page):
    """Everything that an edit restores, and the image."""
    present = {str(number) for number in page.array("inst")}
    styles = {number: style for number, style in page.value("s.styles").items() if number in present}
    return page.array("label"), page.array("inst"), styles, page.value("s.settings"), page.picture()


def test_an_edit_is_opened_again(page):
    page.tool("rectangle", CAR)
    page.drag((30, 30), (50, 40))
    page.browser.click("[data-style='2']")
    page.rest()
    page.slide("#features input", 0.5)
    wanted = state(page)
    folder = page.save()
    page.tool("rectangle", SKY)
    page.drag((5, 5), (60, 45))
    later, edits = state(page), page.value("s.done.length")
    assert later[0] != wanted[0]
    page.reopen(folder)
    assert state(page) == wanted and page.value("s.name") == "scene_00000"
    # nothing that was done since is lost
    assert page.browser.texts("#message") == [f"{edits + 1} edits, saved"]
    page.browser.click("#undo")
    page.rest()
    assert state(page) == later


def test_an_edit_is_opened_in_a_new_page(page, streets):
    """With the photo and the first image of its document, wherever the page is."""
    page.browser.click("#next")
    page.browser.wait_for("editor.session.name === 'scene_00001'")
    page.rest()
    first = page.picture()
    page.tool("brush", TREE)
    page.drag((10, 10), (40, 20))
    wanted = state(page)
    folder = page.save()
    other = Page(page.browser, streets["url"])
    other.reopen(folder)
    assert state(other) == wanted and other.value("s.name") == "scene_00001" and other.value("s.photo !== null")
    assert other.browser.texts("#message") == ["1 edit, saved"] and other.browser.texts("#document") == ["scene_00001"]
    other.browser.click("#undo")
    other.rest()
    assert other.picture() == first


def test_a_damaged_edit_is_told(page):
    folder = page.save()
    (folder / "label.png").write_bytes((folder / "label.png").read_bytes()[:60])
    page.reopen(folder)
    page.browser.wait_for("!document.querySelector('#toast').hidden")
    page.browser.wait_for("document.querySelector('#toast').textContent.includes('damaged or truncated')")
    assert page.value("s.done.length") == 0
    page.browser.events.clear()


def test_settings_of_a_flow_come_back(window, streets, tmp_path):
    run = save_run(tmp_path, "fullglow", data_root=streets["data"])
    with served(run, tmp_path / "edits") as server:
        page = Page(window, server.url)
        page.browser.click("#open-edit")
        page.browser.wait_for("document.querySelector('#edits').open")
        assert "saved yet" in page.browser.texts("#edits .none")[0]
        page.browser.click("#edits .close")
        page.browser.click(".level button", 1)
        page.browser.click(".level input[type=checkbox]", 0)
        page.rest()
        page.slide("#temperature", 0.25)
        wanted = state(page)
        folder = page.save()
        other = Page(window, server.url)
        assert state(other) != wanted
        other.reopen(folder)
        assert state(other) == wanted and other.value("s.settings.levels[0].keep") is True


def test_an_image_from_the_disk_comes_back(window, streets, tmp_path):
    """Its document is not among those of the data set."""
    pictures = tmp_path / "pictures"
    shutil.copytree(streets["data"] / "test_img", pictures)
    options = {"pictures": pictures, "view_width": 64}
    run = save_run(tmp_path, "cyclegan")
    with served(run, tmp_path / "edits", **options) as server:
        page = Page(window, server.url)
        page.browser.click("[data-direction=B2A]")
        page.rest()
        page.tool("rectangle")
        page.drag((10, 10), (30, 20))
        wanted = page.array("rgb"), page.value("s.settings"), page.picture()
        folder = page.save()
    for path in pictures.glob("scene_00000*"):
        path.unlink()
    with served(run, tmp_path / "edits", **options) as server:
        page = Page(window, server.url)
        page.reopen(folder)
        assert (page.array("rgb"), page.value("s.settings"), page.picture()) == wanted
        assert page.value("[s.name, s.index]") == ["scene_00000", -1] and page.browser.texts("#message") == [""]


# -- from the server -----------------------------------------------------------------------------------------------

ABOUT = {"name": "run", "system": "pix2pixHD", "kind": "labels", "controls": [], "styles": {"count": 2}}
ORIGIN = {"run": "/somewhere/run", "system": "pix2pixHD", "checkpoint": "1"}


def saved(folder, name="scene", origin=ORIGIN, **settings):
    label = np.arange(12, dtype=np.uint16).reshape(3, 4)
    inst = np.where(label > 9, label * 1000, label).astype(np.uint16)
    return save_edit(folder, Document(name, label, inst), np.zeros((3, 4, 3), np.uint8), settings, 35, origin)


def note(path, **changes):
    """Change edit.json."""
    data = json.loads((path / "edit.json").read_text()) | changes
    (path / "edit.json").write_text(json.dumps(data))


def test_edits_of_a_run_are_listed(tmp_path):
    assert saved_edits(tmp_path / "none", ABOUT) == []
    first, second = saved(tmp_path, "a"), saved(tmp_path, "b")
    saved(tmp_path, "c", ORIGIN | {"run": "/somewhere/other"})
    saved(tmp_path, "d", ORIGIN | {"system": "cglow"})
    saved(tmp_path, "e").joinpath("edit.json").write_text("{")
    saved(tmp_path, "f").joinpath("edit.json").unlink()
    (tmp_path / "0009_file").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "0010_link").symlink_to(first, target_is_directory=True)
    assert saved_edits(tmp_path, ABOUT) == [
        {"edit": second.name, "document": "b"},
        {"edit": first.name, "document": "a"},
    ]
    assert saved(tmp_path).name == "0011_scene"
    (tmp_path / "12345_x").mkdir()
    assert saved(tmp_path).name == "12346_scene"


def test_maps_and_settings_come_back(tmp_path):
    path = saved(tmp_path, styles={"3": [0.5, -0.5]})
    document, settings = open_edit(tmp_path, path.name, ABOUT, 35)
    assert document.name == "scene" and settings == {"styles": {"3": [0.5, -0.5]}}
    np.testing.assert_array_equal(document.label, np.arange(12).reshape(3, 4))
    assert document.inst.max() == 11000 and document.label.dtype == document.inst.dtype == np.uint16
    assert image_of_edit(tmp_path, path.name).shape == (3, 4, 3)


def bomb(width, height):
    """A PNG of a few bytes that claims to be large."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_link(path):
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def make_large(path):
    with path.open("ab") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda path: note(path, settings={"styles": {"3": [1, 2, 3]}}), "2 numbers in [-1, 1]"),
        (lambda path: note(path, settings={"depth": 1}), "depth is not one of"),
        (lambda path: note(path, settings=None), "settings: None is not a JSON object"),
        (lambda path: note(path, run="/x/other"), "not with this run"),
        (lambda path: note(path, run=7), "run in"),
        (lambda path: note(path, system=["pix2pixHD"]), "system in"),
        (lambda path: note(path, document={"a": "b" * 10_000}), "document in"),
        (lambda path: (path / "edit.json").write_text("[]"), "not a JSON object"),
        (lambda path: (path / "edit.json").write_bytes(b"\xff\xfe{}"), "not JSON"),
        (lambda path: (path / "edit.json").write_text('{"run": ' + "9" * 400 + "}"), "400 characters"),
        (lambda path: (path / "edit.json").write_text("[" * 100_000), "JSON"),
        (lambda path: (path / "edit.json").unlink(), "does not exist"),
        (lambda path: write_png(path / "label.png", np.full((3, 4), 35, np.uint8)), "label 35 is not below"),
        (lambda path: write_png(path / "label.png", np.zeros((4, 3), np.uint8)), "differ in size"),
        (lambda path: write_png(path / "label.png", np.diag([9, 9, 9]).astype(np.uint8)[None]), "colour"),
        (lambda path: write_png(path / "instances.png", np.zeros((3, 4), np.uint8)), "8 bits a pixel"),
        (lambda path: (path / "label.png").write_bytes(bomb(5000, 5000)), "5000x5000 pixels"),
        (lambda path: (path / "label.png").write_bytes(bomb(2000, 2000)), "damaged or truncated"),
        (lambda path: (path / "label.png").write_bytes(b""), "empty"),
        (lambda path: (path / "label.png").write_text("GIF89a"), "not a readable"),
        (lambda path: (path / "instances.png").unlink(), "does not exist"),
        *((lambda path, file=file, spoil=spoil: spoil(path / file), "is not a regular file of at most")
          for file in ("edit.json", "label.png", "instances.png")
          for spoil in (make_pipe, make_link, make_large)),
    ],
)  # fmt: skip
def test_a_spoilt_edit_is_refused(tmp_path, spoil, reason):
    """With one line that names the file, and without reading what is no edit."""
    path = saved(tmp_path)
    spoil(path)
    with pytest.raises(UserError) as error:
        open_edit(tmp_path, path.name, ABOUT, 35)
    text = str(error.value)
    assert reason in text and str(path) in text and len(text) < 600 and text.isprintable()
    saved_edits(tmp_path, ABOUT)
    for make in (make_pipe, make_link, make_large):
        path = saved(tmp_path)
        make(path / "picture.png")
        with pytest.raises(UserError, match="is not a regular file of at most"):
            image_of_edit(tmp_path, path.name)


@pytest.mark.parametrize(
    "name", ["", "..", "../edits/0001_scene", "0001_scene/", "0001", "0002_scene", "/etc", "\0", "a\nb"]
)
def test_no_name_leads_elsewhere(tmp_path, name):
    saved(tmp_path / "edits")
    for read in (
        lambda: open_edit(tmp_path / "edits", name, ABOUT, 35),
        lambda: image_of_edit(tmp_path / "edits", name),
    ):
        with pytest.raises(UserError) as error:
            read()
        assert "holds no edit" in str(error.value) and str(error.value).isprintable()


def test_images_are_bounded(tmp_path):
    about = ABOUT | {"kind": "picture", "styles": None}
    rgb = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    path = save_edit(tmp_path, Document("p", rgb=rgb), rgb, {}, 0, ORIGIN)
    np.testing.assert_array_equal(open_edit(tmp_path, path.name, about, 0)[0].rgb, rgb)
    for file in ("input.png", "picture.png"):
        (path / file).write_bytes(bomb(MAX_PIXELS + 1, 1))
    with pytest.raises(UserError, match="editor takes up to"):
        open_edit(tmp_path, path.name, about, 0)
    with pytest.raises(UserError, match="editor takes up to"):
        image_of_edit(tmp_path, path.name)


def test_a_damaged_edit_is_answered(tmp_path):
    """Over the network, like any other mistake."""
    data = make_streets(tmp_path / "data", train=1, test=1)
    run = save_run(tmp_path, "pix2pixHD", data_root=data)
    edits = tmp_path / "edits"
    with served(run, edits) as server:
        origin = {"run": str(run), "system": "pix2pixHD", "checkpoint": "1"}
        path, other = saved(edits, origin=origin), saved(edits, "päss", origin=origin)
        (path / "label.png").write_bytes(bomb(5000, 5000))
        (path / "picture.png").write_bytes(b"x")

        status, _, body = ask(server, "edits")
        assert status == 200 and [one["edit"] for one in json.loads(body)] == [other.name, path.name]
        own = f"edit/{path.name}"
        for words in (own, f"{own}/image", "edit/0009_x", "edit/", "edit/%2e%2e", "edit/%ff"):
            status, _, body = ask(server, words)
            assert status == 400 and json.loads(body)["error"].isprintable(), words
        for words in ("edit", "edits/", f"{own}/label.png", f"{own}/image/", "edit/../about"):
            assert ask(server, words)[0] == 404, words
        for words in ("edit/0002_p%C3%A4ss", "edit/0002_p%C3%A4ss/image"):
            assert ask(server, words)[0] == 200
