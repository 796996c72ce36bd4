"""The gallery as a person meets it: a real browser, real clicks, real pixels."""

import functools
import http.server
import io
import math
import threading
import time

import numpy as np
import pytest
from PIL import Image

from src.gallery.gallery import Gallery
from src.imaging.palette import colour_labels
from src.runs.log import RunLog
from src.utils.text import readable
from tests.browser import Browser
from tests.evaluation.streets import street
from tests.gallery.test_gallery import STRANGE, flat

READY = "document.documentElement.dataset.ready"
IN_VIEW = """[...document.images].filter((i) => {
  const r = i.getBoundingClientRect(); return r.bottom > 0 && r.top < innerHeight && r.width > 0; })"""
LOADED = f"{IN_VIEW}.every((i) => i.complete && i.naturalWidth > 0)"
STEMS = "#result-list .stem"


@pytest.fixture(scope="module")
def browser():
    with Browser(1400, 900) as opened:
        yield opened


@pytest.fixture
def page(browser):
    """The browser with no memory of what earlier tests chose; in the end nothing may have gone wrong in it."""
    browser.resize(1400, 900)
    browser.prefer("light")
    yield browser
    assert browser.complaints() == []
    outside = [url for url in browser.requests() if not url.startswith(("file:", "data:", "http://127.0.0.1"))]
    assert outside == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 40 results, 6 snapshots and 300 logged steps."""
    folder = tmp_path_factory.mktemp("run")
    gallery = Gallery(folder, "streets")
    for i in range(40):
        ids, real = street(i % 5, 96, 192)
        numbers = {"ssim": ((i * 17) % 40) / 40, "psnr": 10.0 + i} | ({"gap": 40.0 - i} if i % 2 else {})
        images = {"label": colour_labels(ids, 35), "synthesized": 255 - real, "real": real}
        gallery.add_result(f"city_{i}", images, numbers | ({"gap": math.nan} if i == 0 else {}))
    for epoch in range(1, 7):
        gallery.add_training(epoch, 100, {"label": flat(9), "synthesized": flat(40 * epoch), "real": flat(250)})
    log = RunLog(folder, tensorboard=False)
    for step in range(1, 301):
        losses = {"G_GAN": 1.0 + 0.1 * math.sin(step), "G_VGG": 9.0 / step, "D_real": 0.5}
        log.scalars(step, 1 + step // 50, 1 + step % 50, losses | ({"D_real": math.nan} if step == 150 else {}))
    gallery.set_losses(folder / "log.jsonl")
    gallery.set_options({"label_nc": 35, "netG": "global"})
    gallery.note("40 streets")
    return gallery.write()


def visit(browser, path):
    """Open a gallery as someone who was never there."""
    browser.open(path, READY)
    browser.evaluate("sessionStorage.clear(), localStorage.clear()")
    browser.open(path, READY)


def pixel(browser, x, y):
    with Image.open(io.BytesIO(browser.screenshot())) as shot:
        return np.array(shot.convert("RGB").getpixel((round(x), round(y))), int)


def test_every_section_is_there_and_pictures_arrive(page, run):
    visit(page, run)
    page.wait_for(LOADED)
    assert page.texts("h1") == ["streets"] and page.texts("#nav a") == ["Results", "Training", "Losses", "Options"]
    assert page.texts(".note") == ["40 streets"]
    assert page.texts(STEMS)[:3] == ["city_0", "city_1", "city_2"], "numbers in names count as numbers"
    assert page.evaluate("document.querySelectorAll('#result-list .shots img').length") <= 3 * 40
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        assert len(shot.convert("RGB").getcolors(1 << 24)) > 1000


def test_sorting_by_stem_and_by_any_number(page, run):
    visit(page, run)
    page.click('.tile[data-number="ssim"]')
    assert page.texts(STEMS)[0] == "city_0" and page.texts(STEMS)[1] == "city_33"
    page.click("#direction")
    assert page.texts(STEMS)[0] == "city_7", "17 * 7 = 119 = 39 modulo 40"
    page.choose("#sort", "1")
    assert page.texts(STEMS)[0] == "city_39"
    page.choose("#sort", "2")
    assert page.texts(STEMS)[0] == "city_1", "gap, descending; no gap comes last"
    page.click("#direction")
    assert page.texts(STEMS)[0] == "city_39"
    page.choose("#sort", "")
    assert page.texts(STEMS)[:2] == ["city_0", "city_1"]
    page.click("#direction")
    assert page.texts(STEMS)[0] == "city_39"
    page.click("#direction")


def test_filtering_and_hiding_columns(page, run):
    visit(page, run)
    page.click("#filter")
    page.type("CITY_3")
    assert page.texts(STEMS)[:4] == ["city_3", "city_30", "city_31", "city_32"]
    assert page.texts("#shown-count") == ["11 of 40"]
    page.click('.sticky [data-column="label"]')
    assert page.evaluate("document.querySelectorAll('#result-list .card')[0].querySelectorAll('img').length") == 2
    page.click('.sticky [data-column="label"]')
    page.evaluate("document.getElementById('filter').select()")
    page.type("nowhere")
    assert page.texts(STEMS) == [] and page.texts(".nothing") == ["No name holds this text."]
    page.evaluate("document.getElementById('filter').select()")
    page.type(" ")
    assert len(page.texts(STEMS)) >= 6


def test_scrolling_makes_the_rest_of_the_rows(page, run):
    visit(page, run)
    height = page.evaluate("document.documentElement.scrollHeight")
    assert 5 < len(page.texts(STEMS)) < 20
    for _ in range(40):
        page.mouse("mouseWheel", 700, 500, deltaX=0, deltaY=500)
        time.sleep(0.03)
    page.wait_for("document.querySelectorAll('#result-list .card:not(.empty)').length === 40")
    page.wait_for(LOADED)
    assert abs(page.evaluate("document.documentElement.scrollHeight") - height) < 80, (
        "rows have the height they had kept"
    )


def test_the_lightbox_opens_walks_zooms_and_closes(page, run):
    visit(page, run)
    page.click("#result-list .card .shot", 1)
    page.wait_for("document.querySelector('dialog').open")
    assert page.texts("#lightbox-title") == ["city_0"] and page.texts("#lightbox-position") == ["1 / 40"]
    assert page.texts(".lightbox .tabs [aria-pressed=true]") == ["synthesized"]
    page.key("ArrowRight")
    page.key("ArrowRight")
    assert page.texts("#lightbox-title") == ["city_2"]
    page.key("ArrowLeft")
    page.key("ArrowDown")
    assert page.texts("#lightbox-title") == ["city_1"]
    assert page.texts(".lightbox .tabs [aria-pressed=true]") == ["real"]
    page.click("#next")
    assert page.texts("#lightbox-position") == ["3 / 40"]
    page.key("End")
    assert page.texts("#lightbox-title") == ["city_39"]
    page.key("ArrowRight")
    assert page.texts("#lightbox-title") == ["city_39"], "the end is the end"
    page.click('.lightbox [data-column="label"]')
    page.key("Home")
    assert page.texts("#lightbox-title") == ["city_0"], "keys work after a click on a button, too"
    width = page.box(".stage")[2]
    page.click("#zoom-in")
    assert math.isclose(page.box(".stage")[2], 1.5 * width, rel_tol=1e-3)
    page.wait_for(LOADED)
    left, top = page.box(".stage")[:2]
    page.drag((700, 500), (760, 520))
    assert np.allclose(np.subtract(page.box(".stage")[:2], (left, top)), (60, 20), atol=1)
    page.key("1")
    assert page.texts("#zoom-level") == ["100 %"]
    page.key("0")
    assert math.isclose(page.box(".stage")[2], width, rel_tol=1e-3)
    page.mouse("mouseWheel", 700, 450, deltaX=0, deltaY=-300)
    assert page.box(".stage")[2] > 1.5 * width
    page.key("Escape")
    page.wait_for("!document.querySelector('dialog').open")


def test_the_divider_follows_the_mouse_and_shows_either_picture(page, tmp_path):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"red": flat((255, 0, 0)), "green": flat((0, 255, 0)), "blue": flat((0, 0, 255))})
    page.open(gallery.write(), READY)
    page.click(".compare")
    page.wait_for(f"document.querySelector('dialog').open && {LOADED}")
    left, top, width, height = page.box(".stage")

    def colours():
        return [pixel(page, left + width * f, top + height * 0.8).tolist() for f in (0.1, 0.4, 0.6, 0.9)]

    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    assert colours() == [green, green, blue, blue]
    page.choose("#compare-left", "red")
    assert colours() == [red, red, blue, blue]
    middle = (left + width / 2, top + height / 2)
    page.drag(middle, (left + width * 0.75, middle[1]))
    assert colours() == [red, red, red, blue]
    page.click_at(left + width * 0.25, middle[1])
    assert colours() == [red, blue, blue, blue], "a click moves the divider there"
    for _ in range(15):
        page.key("ArrowRight")
    assert colours() == [red, red, blue, blue], "arrows move the divider while it has the focus"
    assert page.texts("#lightbox-title") == ["s"]
    page.click("#compare-toggle")
    page.wait_for(LOADED)
    assert colours()[0] == colours()[3]
    page.key("c")
    assert colours()[0] == red
    page.key("Escape")


def test_the_training_timeline(page, run):
    visit(page, run)
    assert page.texts("#snapshot-name") == ["Epoch 6"], "the newest is shown first"
    page.click(".strip button", 1)
    assert page.texts("#snapshot-name") == ["Epoch 2"] and page.evaluate("snapshot.value") == "1"
    page.wait_for(LOADED)
    left, top, width, height = page.box("#training .shot", 1)
    assert abs(pixel(page, left + width / 2, top + height / 2) - 80).max() <= 12, "its picture, a little brighter"
    left, top, width, height = page.box("#snapshot")
    page.drag((left + 0.22 * width, top + height / 2), (left + width - 8, top + height / 2))
    assert page.texts("#snapshot-name") == ["Epoch 6"]
    page.click("#play")
    page.wait_for("document.getElementById('snapshot-name').textContent === 'Epoch 3'", 10)
    page.click("#play")
    assert page.texts("#play") == ["▶ Play"]
    page.click("#training .shot", 1)
    page.wait_for("document.querySelector('dialog').open")
    assert page.evaluate("document.activeElement.className") == "area", "no list or button may take the keys"
    before = int(page.texts("#lightbox-title")[0].split()[1])
    page.key("ArrowRight")
    page.wait_for(f"document.getElementById('lightbox-title').textContent.startsWith('Epoch {before + 1}')", 10)
    page.key("Escape")
    # the timeline follows the large image when the dialog tells that it is closed
    page.wait_for(f"document.getElementById('snapshot-name').textContent === 'Epoch {before + 1}'", 10)


def test_the_loss_curves(page, run):
    visit(page, run)
    page.evaluate("document.getElementById('losses').scrollIntoView()")
    page.wait_for("document.querySelectorAll('.curve').length === 3")
    assert page.texts(".series span") == ["G_GAN", "G_VGG", "D_real"]
    gap = page.evaluate("document.querySelector('.curve[data-name=D_real]').getAttribute('d').match(/M/g).length")
    assert gap == 2, "a value that is not a number interrupts the line"
    left, top, width, height = page.box(".plot")
    page.mouse("mouseMoved", left + width - 16, top + height / 2)
    head, *rows = page.texts(".tooltip-head, .tooltip-row")
    assert head.split() == ["Step", "300", "epoch", "7"]
    assert dict(row.split() for row in rows)["G_VGG"] == "0.03000"
    smooth = page.evaluate("document.querySelector('.curve').getAttribute('d')")
    left, top, width, height = page.box("#smoothing")
    page.click_at(left + 2, top + height / 2)
    rough = page.evaluate("document.querySelector('.curve').getAttribute('d')")
    assert rough != smooth and page.evaluate("document.querySelectorAll('.raw').length") == 0
    page.click("#log-scale")
    assert page.evaluate("document.querySelector('.curve').getAttribute('d')") != rough
    page.click(".series", 1)
    assert page.evaluate("[...document.querySelectorAll('.curve')].map((c) => c.dataset.name)") == ["G_GAN", "D_real"]
    page.click(".series", 2, modifiers=8)
    assert page.evaluate("[...document.querySelectorAll('.curve')].map((c) => c.dataset.name)") == ["D_real"]
    page.open(run, READY)
    page.wait_for("document.querySelectorAll('.curve').length === 1", 5)  # the choice survives a reload


def test_smoothing_has_the_closed_form(page, run):
    visit(page, run)
    assert page.evaluate("Chart.smooth([5, 5, null, 5], 0.9)") == [5, 5, None, 5]
    assert np.allclose(page.evaluate("Chart.smooth([1, 2], 0.5)"), [1, (0.25 * 1 + 0.5 * 2) / 0.75])
    assert page.evaluate("Chart.niceTicks(0, 10, 5)") == [0, 2, 4, 6, 8, 10]


def test_options_unfold_and_the_theme_changes(page, run):
    visit(page, run)
    assert not page.evaluate("document.querySelector('details').open")
    page.click("summary")
    assert page.texts("dt") == ["label_nc", "netG"] and page.texts("dd") == ["35", "global"]
    page.evaluate("scrollTo(0, 0)")
    assert pixel(page, 5, 200).min() > 200
    page.prefer("dark")
    assert pixel(page, 5, 200).max() < 60
    page.click("#theme")
    assert pixel(page, 5, 200).min() > 200
    page.prefer("light")
    page.click("#theme")
    assert pixel(page, 5, 200).max() < 60
    page.open(run, READY)
    assert pixel(page, 5, 200).max() < 60, "the choice is remembered"


@pytest.mark.parametrize("width", [360, 820])
def test_narrow_windows_need_no_sideways_scrolling(page, run, width):
    page.resize(width, 800)
    visit(page, run)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    columns = page.evaluate(
        "new Set([...document.querySelectorAll('#result-list .card')][0].querySelectorAll('img').values()"
        ".map((i) => i.getBoundingClientRect().left)).size"
    )
    assert columns == (1 if width < 700 else 3)
    page.click(".card .shot")
    page.wait_for("document.querySelector('dialog').open")
    left, top, shown, height = page.box(".stage")
    assert left >= 0 and left + shown <= width and top >= 0 and top + height <= 800
    page.key("Escape")


def test_hostile_and_strange_names_stay_text(page, tmp_path):
    title = "</title></script><script>window.harm = 1</script><img src=x onerror='window.harm = 1'>"
    gallery = Gallery(tmp_path / "a b # % ü", title)
    for i, stem in enumerate(STRANGE):
        gallery.add_result(
            stem, {title: flat(10 + i), "__proto__": flat(200)}, {"<img src=x onerror=harm=1>": float(i)}
        )
    gallery.add_training(1, 1, {title: flat(1)})
    gallery.set_options({title: title, "constructor": "toString"})
    gallery.note(title)
    log = RunLog(tmp_path, tensorboard=False)
    for step in (1, 2):
        log.scalars(step, 1, step, {title: 1.0, "__proto__": 2.0})
    gallery.set_losses(tmp_path / "log.jsonl")
    page.open(gallery.write(), READY)
    for i in range(len(STRANGE)):
        page.box("#result-list .card", i)
        page.wait_for(f"!document.querySelectorAll('#result-list .card')[{i}].classList.contains('empty')")
    page.evaluate("for (const i of document.images) i.loading = 'eager'")
    page.wait_for("[...document.images].every((i) => i.complete)")
    assert page.evaluate("[...document.images].filter((i) => !i.naturalWidth).length") == 0
    stems = page.evaluate("[...document.querySelectorAll('.stem')].map((e) => e.textContent)")
    assert set(stems) == {readable(stem) for stem in STRANGE}
    page.click("summary")
    page.click("#result-list .shot")
    page.wait_for("document.querySelector('dialog').open")
    page.key("c")
    page.key("Escape")
    assert page.evaluate("window.harm") is None and page.evaluate("document.scripts.length") == 2
    assert page.texts("h1") == [title]


def test_injected_markup_could_not_run_either(browser, run, tmp_path):
    browser.open(run, READY)
    browser.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.harm = 1\">');"
        "const s = document.createElement('script'); s.textContent = 'window.harm = 1'; document.body.append(s);"
    )
    time.sleep(0.3)
    assert browser.evaluate("window.harm") is None
    assert any("Content Security Policy" in c for c in browser.complaints())


def test_500_results_open_in_under_two_seconds(page, tmp_path):
    gallery = Gallery(tmp_path, "large")
    scenes = [street(i, 256, 512) for i in range(8)]
    for i in range(500):
        ids, real = scenes[i % 8]
        images = {"label": colour_labels(ids, 35), "synthesized": np.roll(real, i, 1), "real": real}
        gallery.add_result(f"frankfurt_{i:06d}_leftImg8bit", images, {"ssim": i / 500, "lpips": 1 - i / 500})
    gallery.write()
    seconds = []
    for _ in range(3):
        page.open("about:blank", "true")
        start = time.monotonic()
        page.open(gallery.path, f"{READY} && {IN_VIEW}.length >= 6 && {LOADED}")
        seconds.append(time.monotonic() - start)
    print(f"500 results: {[round(s, 2) for s in seconds]} s until the pictures in view are there")
    assert min(seconds) < 2
    assert page.evaluate("document.querySelectorAll('*').length") < 2500, "rows are made when they are needed"
    assert len([url for url in page.requests() if "images" in url]) < 120, "pictures are read when they are needed"
    start = time.monotonic()
    page.click('.tile[data-number="lpips"]')
    page.wait_for(LOADED)
    assert page.texts(STEMS)[0] == "frankfurt_000499_leftImg8bit" and time.monotonic() - start < 2


def test_a_live_page_reads_itself_again_and_keeps_the_readers_place(page, tmp_path):
    gallery = Gallery(tmp_path, "live", refresh_seconds=1)
    for i in range(30):
        gallery.add_result(f"s{i}", {"a": flat(i), "b": flat(i)})
    gallery.add_training(1, 1, {"a": flat(1)})
    page.open(gallery.write(live=True), READY)
    assert page.texts("#live") == ["● live"]
    page.click("#direction")
    page.evaluate("scrollTo(0, 3000)")
    page.evaluate("window.before = true")
    gallery.add_training(2, 1, {"a": flat(2)})
    gallery.write(live=True)
    page.wait_for(f"!window.before && {READY} && snapshot.max === '1'", 10)
    assert page.texts(STEMS)[0] == "s29" and page.evaluate("scrollY") == 3000
    page.evaluate("scrollTo(0, 0)")
    page.click("#live")
    page.evaluate("window.before = true")
    time.sleep(2.5)
    assert page.evaluate("window.before"), "paused"
    page.click("#live")
    gallery.add_training(3, 1, {"a": flat(3)})
    gallery.write()
    page.wait_for(f"!window.before && {READY} && snapshot.max === '2'", 10)
    assert page.evaluate("document.getElementById('live').hidden"), "the run is over"


def test_an_empty_page_says_so(page, tmp_path):
    page.open(Gallery(tmp_path, "new run").write(live=True), READY)
    assert page.texts(".nothing") == ["Nothing to see yet: pictures appear here as the run makes them."]


def test_a_web_server_may_serve_it(page, run):
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Silent, directory=str(run.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.open(f"http://127.0.0.1:{server.server_address[1]}/", f"{READY} && {LOADED}")
        assert page.evaluate(f"{IN_VIEW}.length") > 3
        page.open("about:blank", "true")
        server.shutdown()
