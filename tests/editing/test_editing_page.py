"""The editor as a person uses it: a real browser, real clicks, real pictures from a small model."""

import json
import re
from pathlib import Path

import numpy as np

from src import load
from src.imaging.images import read_image, read_instances, read_labels
from tests.editing.pages import CAR, CONTROL, ROAD, SKY, TREE, Page, served
from tests.saved_runs import save_run


def test_what_is_opened_is_the_data_set(page, streets):
    assert page.browser.texts("#run") == ["feat"] and page.browser.texts("#document") == ["scene_00000"]
    label = read_labels(streets["data"] / "test_label" / "scene_00000.png")
    inst = read_instances(streets["data"] / "test_inst" / "scene_00000.png")
    np.testing.assert_array_equal(page.array("label"), label.ravel())
    np.testing.assert_array_equal(page.array("inst"), inst.ravel())
    # the first picture has the styles of the photo
    photo = read_image(streets["data"] / "test_img" / "scene_00000.png")
    model = load(streets["run"], device_target="CPU", mode="pynative")
    wanted = model.translate(label, inst, model.encode(photo, label, inst))
    shown = np.array(page.picture()).reshape(48, 96, 4)[:, :, :3]
    assert np.abs(shown - wanted.astype(int)).max() <= 1
    assert page.value("s.photo.width") == 96 and "ms" in page.browser.texts("#timing")[0]


def test_painting(page):
    """Each tool changes exactly the pixels it says; the picture follows."""
    page.browser.evaluate("editor.brush = 6")
    before, old = page.array("label"), page.picture()
    page.tool("brush", TREE)
    page.drag((30, 10), (50, 10), (60, 14))
    label = np.array(page.array("label")).reshape(48, 96)
    rows, columns = np.mgrid[:48, :96]
    along = (abs(rows - 10) <= 1) & (columns >= 30) & (columns <= 50)
    assert (label[along] == TREE).all() and (np.array(page.array("inst")).reshape(48, 96)[along] == TREE).all()
    changed = np.flatnonzero(label.ravel() != before)
    assert set(label.ravel()[changed]) == {TREE} and (abs(changed // 96 - 12) <= 6).all()
    assert page.picture() != old
    page.tool("rectangle", SKY)
    page.drag((5, 3), (20, 9))
    label = np.array(page.array("label")).reshape(48, 96)
    assert (label[3:10, 5:21] == SKY).all()
    page.tool("lasso", ROAD)
    page.drag((60, 20), (80, 20), (80, 30), (60, 30), pane="#picture")
    label = np.array(page.array("label")).reshape(48, 96)
    assert (label[21:30, 61:80] == ROAD).all(), "the picture can be painted like the map"
    region = label == label[40, 48]
    page.tool("fill", 8)
    page.click(48, 40)
    after = np.array(page.array("label")).reshape(48, 96)
    assert after[40, 48] == 8 and (after[~region] == label[~region]).all()
    assert page.browser.texts("#message") == ["4 edits, not saved"]
    page.tool("pick")
    page.click(10, 5)
    assert page.value("editor.classId") == SKY


def objects(page):
    """Instance numbers of objects in the map."""
    return {i for i in page.array("inst") if i >= 1000}


def test_objects_and_styles(page):
    """A painted object is moved, restyled, duplicated and removed; undo and redo go all the way."""
    start = page.array("label"), page.array("inst"), page.picture()
    known = objects(page)
    page.browser.evaluate("editor.brush = 12")
    page.tool("brush", CAR)
    page.drag((30, 36), (44, 36))
    (car,) = objects(page) - known
    assert car // 1000 == CAR and page.value("s.selected") == car
    assert page.browser.texts("#object-name") == ["car"]
    area = page.array("inst").count(car)
    # what is painted next to it in its class belongs to it
    page.drag((44, 36), (50, 36))
    grown = page.array("inst").count(car)
    assert grown > area and objects(page) == known | {car}

    below = page.value("s.label[46 * 96 + 60]")
    page.tool("select")
    page.drag((40, 36), (50, 38), (62, 39))
    inst = np.array(page.array("inst")).reshape(48, 96)
    assert inst[39, 62] == car and inst[36, 30] != car and (inst == car).sum() == grown
    label = np.array(page.array("label")).reshape(48, 96)
    assert label[38, 26] in (below, ROAD, 8, 9, 22, 1) and CAR not in label[36:38, 24:28]

    page.browser.wait_for("document.querySelectorAll('#styles [data-drawn]').length === 3", 60)
    pictures = []
    for k in range(3):
        page.browser.click(f"[data-style='{k}']")
        page.rest()
        clusters = page.value(f"editor.about.styles.clusters[{CAR}][{k}]")
        assert page.value(f"s.styles[{car}]") == clusters
        pictures.append(page.picture())
    assert pictures[0] != pictures[1] != pictures[2]
    page.slide("#features input", 0.5)
    assert page.value(f"s.styles[{car}][0]") == 0.5 and page.picture() != pictures[2]

    page.browser.click("#duplicate")
    page.rest()
    (copy,) = objects(page) - known - {car}  # what lies under a copy may be gone
    assert page.value(f"s.styles[{copy}]") == page.value(f"s.styles[{car}]")
    page.press("c", CONTROL)
    page.press("v", CONTROL)
    (pasted,) = objects(page) - known - {car, copy}
    page.press("ArrowLeft")
    page.browser.click("#mirror")
    page.browser.click("#larger")
    page.rest()
    page.press("Delete")
    assert pasted not in objects(page) and copy in objects(page) and page.value("s.selected") is None
    present = objects(page)
    page.browser.click("#objects button")
    page.rest()
    added = page.value("s.selected")
    assert (
        added in objects(page) - present
        and page.browser.texts("#object-name") == page.browser.texts("#objects span")[:1]
    )

    end = page.array("label"), page.array("inst"), page.picture(), page.value("s.styles")
    steps = page.value("s.done.length")
    assert steps >= 12
    for _ in range(steps):
        page.press("z", CONTROL)
    assert page.browser.evaluate("document.querySelector('#undo').disabled")
    assert (page.array("label"), page.array("inst"), page.picture()) == start
    for _ in range(steps):
        page.press("y", CONTROL)
    assert (page.array("label"), page.array("inst"), page.picture(), page.value("s.styles")) == end
    page.browser.click("#undo")
    page.tool("brush", SKY)
    page.drag((3, 3), (9, 3))
    assert page.browser.evaluate("document.querySelector('#redo').disabled"), "a new edit ends what could be redone"


def test_removing_uncovers_what_lies_around(page):
    page.tool("select")
    page.browser.evaluate("editor.session.label.fill(7), editor.session.inst.fill(7)")
    page.browser.evaluate("editor.session.label.fill(23, 0, 96 * 20), editor.session.inst.fill(23, 0, 96 * 20)")
    page.tool("rectangle", CAR)
    page.drag((30, 10), (50, 30))
    painted = page.array("label"), page.array("inst")
    # what an object covers on its way comes back, and so does what left the picture
    page.browser.click("#duplicate")
    page.rest()
    page.tool("select")
    area = page.array("inst").count(page.value("s.selected"))
    page.drag((60, 20), (93, 20))
    assert page.array("inst").count(page.value("s.selected")) < area
    page.press("ArrowLeft")
    page.drag((92, 20), (60, 20))
    assert page.array("inst").count(page.value("s.selected")) == area
    page.press("Delete")
    assert (page.array("label"), page.array("inst")) == painted
    page.click(40, 20)
    page.browser.click("#remove")
    page.rest()
    label = np.array(page.array("label")).reshape(48, 96)
    assert (label[:20] == SKY).all() and (label[20:] == ROAD).all()


def test_class_of_a_region(page):
    page.tool("select")
    page.browser.evaluate("editor.session.label.fill(7), editor.session.inst.fill(7)")
    page.tool("rectangle", CAR)
    page.drag((30, 10), (50, 30))
    page.browser.choose("#object-class", "24")
    page.rest()
    inst = np.array(page.array("inst")).reshape(48, 96)
    assert page.array("label").count(24) == 21 * 21 and inst[20, 40] // 1000 == 24
    assert page.browser.texts("#object-name") == ["person"]


def test_saving(page, streets):
    page.tool("rectangle", CAR)
    page.drag((30, 30), (50, 40))
    page.press("s", CONTROL)
    page.browser.wait_for("document.documentElement.dataset.saved")
    folder = Path(page.browser.evaluate("document.documentElement.dataset.saved"))
    assert re.fullmatch(r"\d{4}_scene_00000", folder.name) and folder.parent == streets["folder"] / "edits"
    label, inst = read_labels(folder / "label.png"), read_instances(folder / "instances.png")
    np.testing.assert_array_equal(label.ravel(), page.array("label"))
    np.testing.assert_array_equal(inst.ravel(), page.array("inst"))
    note = json.loads((folder / "edit.json").read_text())
    assert note["system"] == "pix2pixHD" and note["checkpoint"] == "1"
    present = {str(i) for i in np.unique(inst)}
    styles = {int(i): style for i, style in note["settings"]["styles"].items() if i in present}
    assert len(styles) == len(present)
    model = load(streets["run"], device_target="CPU", mode="pynative")
    picture = read_image(folder / "picture.png")
    assert np.abs(model.translate(label, inst, styles).astype(int) - picture).max() <= 1
    assert read_image(folder / "label_colour.png").shape == (48, 96, 3)
    page.browser.evaluate("delete document.documentElement.dataset.saved")
    page.browser.click("#save")
    page.browser.wait_for("document.documentElement.dataset.saved")
    assert (
        int(page.browser.evaluate("document.documentElement.dataset.saved").split("/")[-1][:4])
        == int(folder.name[:4]) + 1
    )
    assert page.browser.texts("#message") == ["1 edit, saved"]


def test_other_documents_keep_what_was_done(page):
    page.tool("rectangle", SKY)
    page.drag((2, 40), (20, 46))
    edited = page.array("label")
    page.browser.click("#document")
    page.browser.click("[data-document='1']")
    page.browser.wait_for("editor.session.name === 'scene_00001'")
    page.rest()
    assert page.array("label") != edited and page.value("s.done.length") == 0
    page.browser.click("#previous")
    page.browser.wait_for("editor.session.name === 'scene_00000'")
    page.rest()
    assert page.array("label") == edited and page.value("s.done.length") == 1
    page.browser.click("[data-compare=photo]")
    assert page.browser.evaluate("getComputedStyle(document.querySelector('#other')).display") == "block"
    page.browser.click("[data-compare='']")
    page.browser.click("#zoom-in")
    page.tool("rectangle", SKY)
    page.drag((50, 22), (52, 24))
    assert page.value("s.label[23 * 96 + 51]") == SKY, "pixels are hit at any zoom"
    page.browser.click("#zoom-fit")


# -- other systems ---------------------------------------------------------------------------------------------


def test_temperature_and_levels_of_a_flow(window, streets, tmp_path):
    run = save_run(tmp_path, "fullglow", data_root=streets["data"])
    with served(run, tmp_path / "edits") as server:
        page = Page(window, server.url)
        assert len(page.browser.texts(".level")) == 2
        first = page.picture()
        page.browser.click(".level button", 1)
        page.rest()
        assert page.value("s.settings.levels[1].seed") != 0 and page.value("s.settings.levels[0].seed") == 0
        assert page.picture() != first
        page.slide("#temperature", 0)
        mode = page.picture()
        page.browser.click("#redraw-all")
        page.rest()
        assert page.picture() == mode, "without temperature there is nothing to draw"
        for _ in range(3):
            page.press("z", CONTROL)
        assert page.picture() == first
        for index in range(2):
            page.browser.click(".level input[type=checkbox]", index)
            page.rest()
        kept = np.array(page.picture()).reshape(20, 40, 4)[:, :, :3]
        photo = page.value("Array.from(s.photo.data)")
        assert np.abs(kept - np.array(photo).reshape(20, 40, 4)[:, :, :3]).max() <= 1
        page.tool("rectangle", CAR)
        page.drag((4, 10), (12, 15))
        assert page.picture() != kept.tolist() and page.value("s.done.length") == 3


def test_pictures_are_translated(window, streets, tmp_path):
    pictures = streets["data"] / "test_img"
    with served(save_run(tmp_path, "cyclegan"), tmp_path / "edits", pictures=pictures, view_width=64) as server:
        page = Page(window, server.url)
        first = page.picture()
        page.browser.click("[data-direction=B2A]")
        page.rest()
        other = page.picture()
        assert other != first
        page.tool("rectangle")
        page.drag((10, 10), (30, 20))
        assert page.value("Array.from(s.rgb.slice(3 * (15 * 64 + 20), 3 * (15 * 64 + 20) + 3))") == [176, 64, 48]
        assert page.picture() != other
        page.press("z", CONTROL)
        page.press("z", CONTROL)
        assert page.picture() == first
        page.browser.click("#save")
        page.browser.wait_for("document.documentElement.dataset.saved")
        folder = Path(page.browser.evaluate("document.documentElement.dataset.saved"))
        assert sorted(p.name for p in folder.iterdir()) == ["edit.json", "input.png", "picture.png"]
    # the server is gone
    page.browser.evaluate("document.querySelector('#toast').hidden = true; document.querySelector('#save').click()")
    page.browser.wait_for("!document.querySelector('#toast').hidden")
    text = page.browser.texts("#toast")[0]
    assert "ended" in text or "does not answer" in text
    page.browser.events.clear()


def test_style_pictures(window, streets, tmp_path):
    pictures = streets["data"] / "test_img"
    run = save_run(tmp_path, "hierarchyflow")
    with served(run, tmp_path / "edits", pictures=pictures, styles=pictures, view_width=64) as server:
        page = Page(window, server.url)
        first = page.picture()
        page.browser.click("[data-look='1']")
        page.rest()
        assert page.picture() != first and page.value("s.settings.look") == 1


def test_latents_of_hflow(window, streets, tmp_path):
    with served(save_run(tmp_path, "hflow"), tmp_path / "edits", pictures=streets["data"] / "test_img") as server:
        page = Page(window, server.url)
        shown, given = (np.array(x) for x in (page.picture(), page.array("rgb")))
        assert np.abs(shown.reshape(32, 32, 4)[:, :, :3] - given.reshape(32, 32, 3)).max() <= 1, "all latents are kept"
        page.browser.click(".level input[type=checkbox]", 1)
        page.rest()
        assert page.picture() != shown.tolist() and page.value("s.settings.levels[1].keep") is False
