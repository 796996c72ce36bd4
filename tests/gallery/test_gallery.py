"""The gallery's files and data: what is written, what stays, what is refused."""

import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from src.gallery.gallery import Gallery
from src.gallery.page import read_page
from src.imaging.palette import colour_labels
from src.runs.log import RunLog
from src.utils.errors import UserError
from src.utils.logging import get_logger
from src.utils.text import readable
from tests.evaluation.streets import street

STRANGE = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>",
    "a/b",
    "a_b",
    "A_B",
    "../../escape",
    "100 % #1?.png",
    "数据集 Straße",
    "{{data}}",
    "quote\"'&amp;",
    "\udcff broken name",
    "x" * 400,
    "",
    ".hidden",
]


@pytest.fixture(autouse=True)
def console():
    get_logger(0)


def flat(colour, height=16, width=24):
    return np.full((height, width, 3), colour, np.uint8)


def noise(seed, height=32, width=48):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def files_of(gallery):
    return {str(p.relative_to(gallery.folder)) for p in (gallery.folder / "images").rglob("*") if p.is_file()}


def named_files(gallery):
    state = read_page(gallery.path)
    entries = state["training"] + list(state["results"].values())
    return {unquote(i[k]) for e in entries for i in e["images"].values() for k in ("src", "thumb") if k in i}


def test_reopening_keeps_everything(tmp_path):
    log = RunLog(tmp_path, tensorboard=False)
    log.scalars(1, 1, 1, {"G_GAN": 0.5})
    first = Gallery(tmp_path, "a run")
    first.add_training(1, 10, {"label": flat(3), "synthesized": noise(0)})
    first.add_result("frankfurt", {"label": flat(3), "real": noise(1)}, {"ssim": 0.25, "psnr": math.inf})
    first.set_losses(tmp_path / "log.jsonl")
    first.set_options({"label_nc": 35, "data": {"seed": 1}, "empty": {}})
    first.note("trained on 3 images")
    assert first.write() == tmp_path / "gallery" / "index.html"

    second = Gallery(tmp_path)
    second.add_training(2, 5, {"label": flat(4)})
    second.add_numbers("frankfurt", {"lpips": 0.5})
    second.note("trained on 3 images")
    second.write(live=True)
    state = read_page(second.path)
    assert state["title"] == "a run" and state["notes"] == ["trained on 3 images"] and state["refresh"] == 30
    assert [(e["epoch"], e["iteration"]) for e in state["training"]] == [(1, 10), (2, 5)]
    assert list(state["training"][0]["images"]) == ["label", "synthesized"]
    assert state["results"]["frankfurt"]["numbers"] == {"ssim": 0.25, "psnr": "inf", "lpips": 0.5}
    assert state["options"] == [["data.seed", "1"], ["empty", "{}"], ["label_nc", "35"]]
    assert state["losses"] == {"steps": [1], "epochs": [1], "series": {"G_GAN": [0.5]}}
    assert named_files(second) == files_of(second)


def test_label_maps_stay_exact_and_photographs_become_jpeg(tmp_path):
    ids, photograph = street(0, 64, 128)
    labels = colour_labels(ids, 35)
    gallery = Gallery(tmp_path, "t")
    gallery.add_result(
        "s", {"label": labels, "real": photograph, "grey": photograph[:, :, 0], "four": noise(3).repeat(2, 2)}
    )
    images = read_page(gallery.write())["results"]["s"]["images"]
    with Image.open(gallery.folder / images["label"]["src"]) as stored:
        assert stored.format == "PNG" and np.array_equal(np.array(stored.convert("RGB")), labels)
    with Image.open(gallery.folder / images["real"]["src"]) as stored:
        error = np.abs(np.array(stored, int) - photograph).mean()
        assert stored.format == "JPEG" and error < 3
    with Image.open(gallery.folder / images["grey"]["src"]) as stored:
        array = np.array(stored.convert("RGB"), int)
        assert np.abs(array[:, :, 0] - array[:, :, 2]).max() <= 2
    assert images["four"]["width"] == 48 and not any("thumb" in i for i in images.values())


def test_large_pictures_get_thumbnails(tmp_path):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"wide": noise(0, 300, 1200), "label": flat(7, 1200, 40)})
    images = read_page(gallery.write())["results"]["s"]["images"]
    for name, size in (("wide", (512, 128)), ("label", (17, 512))):
        with Image.open(gallery.folder / images[name]["thumb"]) as thumb:
            assert thumb.format == "JPEG" and thumb.size == size
    assert (images["wide"]["width"], images["wide"]["height"]) == (1200, 300)


def test_strange_stems_get_files_of_their_own_inside_the_folder(tmp_path):
    gallery = Gallery(tmp_path / "run", "</title><script>alert(1)</script>")
    colours = {stem: 10 + 3 * i for i, stem in enumerate(STRANGE)}
    for stem, colour in colours.items():
        gallery.add_result(stem, {"</script>": flat(colour)}, {"<b>": 1.0})
    gallery.set_options({"</script>": "</script>"})
    gallery.note("</script><script>alert(1)</script>")
    gallery.write()
    state = read_page(gallery.path)
    assert list(state["results"]) == [readable(stem) for stem in STRANGE]
    for stem, colour in colours.items():
        source = state["results"][readable(stem)]["images"]["</script>"]["src"]
        assert re.fullmatch(r"[A-Za-z0-9%/._~-]+", source), "relative and percent-encoded"
        with Image.open(gallery.folder / unquote(source)) as stored:
            assert np.array(stored.convert("RGB")).max() == colour
    assert len({f.lower() for f in files_of(gallery)}) == len(STRANGE), "on file systems without case, too"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    page = gallery.path.read_text()
    assert page.count("<script") == 2 and page.count("</script") == 2 and "<img" not in page
    again = Gallery(tmp_path / "run")
    again.add_result("a/b", {"</script>": flat(200)})
    again.write()
    assert len(files_of(again)) == len(STRANGE), "the same stem finds its own files again"


def in_ascii(code, folder):
    """Run code in a process whose locale has only ASCII."""
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    environment.pop("PYTHONIOENCODING", None)
    script = folder / "script.py"
    script.write_text("import numpy as np\nfrom src.gallery.gallery import Gallery\n" + code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_locale_without_letters_stops_no_gallery(tmp_path):
    gallery = Gallery(tmp_path, "Straße")
    for stem in ("数据", "stra\udcdfe", "stays"):
        gallery.add_result(stem, {"ä": flat(1)}, {"ssim": 0.5})
    gallery.write()
    told = in_ascii(
        r"""
gallery = Gallery(".", "数据")
image = np.zeros((4, 4, 3), np.uint8)
gallery.add_result("数据", {"ä": image}, {"ß": 1})        # from a file with options, say
gallery.add_result("stra\udcc3\udc9fe", {"ä": image})     # from a list of file names
gallery.add_numbers("stra\udcdfe", {"é": 2})
gallery.note("Größe")
gallery.set_options({"ü": "ö"})
print(gallery.write())
""",
        tmp_path,
    )
    assert told == "gallery/index.html\n"
    again = Gallery(tmp_path)
    again.add_numbers("straße", {"ssim": 1.0})
    results = read_page(again.write())["results"]
    assert {stem: entry["numbers"] for stem, entry in results.items()} == {
        "数据": {"ß": 1.0},
        r"stra\xdfe": {"ssim": 0.5, "é": 2.0},
        "stays": {"ssim": 0.5},
        "straße": {"ssim": 1.0},
    }
    assert named_files(again) == files_of(again) and len(files_of(again)) == 4
    told = in_ascii("gallery = Gallery('.')\ngallery.clear_results()\ngallery.write()", tmp_path)
    assert files_of(again) == set()
    told = in_ascii(
        "from src.utils.errors import UserError\ntry: Gallery('数据')\nexcept UserError as error: print(ascii(error))",
        tmp_path,
    )
    assert "set PYTHONUTF8=1 or LC_ALL=C.UTF-8" in told


def test_the_page_names_no_address_outside_itself(tmp_path):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"a": flat(1)})
    page = gallery.write().read_text()
    assert re.findall(r"(?:https?:)?//[a-z][^\s\"'`]*", page) == ["http://www.w3.org/2000/svg"]


def test_training_is_thinned_evenly_and_files_go_with_the_page(tmp_path):
    gallery = Gallery(tmp_path, "t", max_training=10)
    for epoch in range(1, 41):
        gallery.add_training(epoch, 1, {"a": flat(epoch)})
        if epoch == 12:
            gallery.write()
    assert len(files_of(gallery)) == 40 - 2, "what the written page shows stays until the next page"
    gallery.write()
    kept = [e["epoch"] for e in read_page(gallery.path)["training"]]
    assert len(kept) == 10 and kept[0] == 1 and kept[-1] == 40
    assert max(b - a for a, b in zip(kept, kept[1:], strict=False)) <= 8
    assert named_files(gallery) == files_of(gallery) and len(files_of(gallery)) == 10


def test_a_resumed_run_takes_later_snapshots_back(tmp_path):
    gallery = Gallery(tmp_path, "t")
    for epoch, iteration in ((1, 5), (1, 10), (2, 5), (2, 10)):
        gallery.add_training(epoch, iteration, {"a": flat(iteration)})
    gallery.write()
    resumed = Gallery(tmp_path)
    resumed.truncate_training_after(2, 4)
    resumed.add_training(2, 5, {"a": flat(99)})
    resumed.write()
    assert [(e["epoch"], e["iteration"]) for e in read_page(resumed.path)["training"]] == [(1, 5), (1, 10), (2, 5)]
    assert named_files(resumed) == files_of(resumed)


def test_replacing_and_clearing_results_removes_their_files(tmp_path):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"a": flat(1), "b": flat(2)}, {"x": 1})
    gallery.add_result("other", {"a": flat(1)})
    gallery.write()
    gallery.add_result("s", {"a": noise(1)})
    gallery.write()
    assert read_page(gallery.path)["results"]["s"]["numbers"] == {}
    assert files_of(gallery) == {"images/results/s_a.jpg", "images/results/other_a.png"} == named_files(gallery)
    gallery.clear_results()
    assert len(files_of(gallery)) == 2
    gallery.write()
    assert files_of(gallery) == set()


def test_a_page_edited_by_hand_cannot_name_files_for_deletion(tmp_path):
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"x")
    gallery = Gallery(tmp_path / "run", "t")
    gallery.add_result("s", {"a": flat(1)})
    page = gallery.write()
    text = page.read_text()
    page.write_text(text.replace("images/results/s_a.png", "images/../../../precious.png"))
    again = Gallery(tmp_path / "run")
    again.clear_results()
    again.write()
    assert precious.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: "<html>my own page</html>",
        lambda text: text[: text.index("gallery-data") + 50],
        lambda text: text.replace("images/results/s_a.png", "images/%00"),
        lambda text: text.replace("images/results/s_a.png", "images/" + r"\ud800"),
        lambda text: text.replace('"images/results/s_a.png"', "[]"),
        lambda text: text.replace('"training":[]', '"training":[7]'),
    ],
)
def test_a_page_that_is_no_gallery_is_kept_aside(tmp_path, change, capsys):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"a": flat(1)})
    page = gallery.write()
    page.write_text(change(page.read_text()))
    kept = page.read_text()
    again = Gallery(tmp_path, "new")
    again.write()
    (aside,) = page.parent.glob("index.html.unreadable-*")
    assert aside.read_text() == kept and read_page(page)["title"] == "new"
    assert "is kept as index.html.unreadable" in capsys.readouterr().err


@pytest.mark.parametrize("link", ["gallery", "gallery/images", "gallery/images/results"])
def test_a_folder_that_is_a_link_is_not_written_through(tmp_path, link):
    (tmp_path / "mine").mkdir()
    path = tmp_path / "run" / link
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(UserError, match=rf"cannot create .*{link}: it is a link"):
        Gallery(tmp_path / "run")
    assert not list((tmp_path / "mine").iterdir())


def test_training_and_evaluation_may_write_the_same_page(tmp_path):
    training, evaluation = Gallery(tmp_path, "t"), Gallery(tmp_path)
    training.add_training(1, 1, {"a": flat(1)})
    training.write()
    evaluation.add_result("s", {"a": flat(2)})
    evaluation.write()
    training.add_training(2, 1, {"a": flat(3)})
    training.write()
    state = read_page(training.path)
    assert len(state["training"]) == 2 and list(state["results"]) == ["s"]
    assert named_files(training) == files_of(training)


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((3,), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused_before_anything_is_written(tmp_path, image):
    gallery = Gallery(tmp_path, "t")
    with pytest.raises(ValueError, match="'bad'"):
        gallery.add_result("s", {"good": flat(1), "bad": image})
    with pytest.raises(ValueError, match="'bad'"):
        gallery.add_training(1, 1, {"good": flat(1), "bad": image})
    assert files_of(gallery) == set()


def test_what_killed_writers_left_goes_when_it_is_old(tmp_path):
    folder = Gallery(tmp_path, "t").folder / "images" / "results"
    for name, age in ((".old.jpg.1-aa.part", 4000), (".fresh.jpg.1-bb.part", 10)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    Gallery(tmp_path, "t")
    assert [p.name for p in folder.iterdir()] == [".fresh.jpg.1-bb.part"], "another process may be writing it"


def test_user_mistakes_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        Gallery(tmp_path / "file")
    with pytest.raises(UserError, match="max_training 1"):
        Gallery(tmp_path, max_training=1)
    with pytest.raises(UserError, match="has no result 'x'"):
        Gallery(tmp_path).add_numbers("x", {})


def test_a_full_disk_costs_neither_page_nor_pictures(tmp_path):
    gallery = Gallery(tmp_path / "run", "before")
    gallery.add_result("s", {"a": noise(0)})
    gallery.write()
    before = {p: p.read_bytes() for p in gallery.folder.rglob("*") if p.is_file()}
    code = """
import resource, signal, sys
import numpy as np
from src.gallery.gallery import Gallery
from src.utils.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
gallery = Gallery("run", "after")
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
picture = np.random.default_rng(1).integers(0, 256, (99, 99, 3), np.uint8)
for action in (lambda: gallery.add_result("s", {"a": picture}), gallery.write):
    try:
        action()
    except UserError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"cannot write run/gallery/(\S+):", done.stdout) == ["images/results/s_a", "index.html"]
    assert {p: p.read_bytes() for p in gallery.folder.rglob("*") if p.is_file()} == before


def test_the_data_in_the_page_is_plain_json(tmp_path):
    gallery = Gallery(tmp_path, "t")
    gallery.add_result("s", {"a": flat(1)}, {"x": math.nan})
    text = gallery.write().read_text()
    data = re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(data, parse_constant=pytest.fail)["results"][0]["numbers"] == {"x": "nan"}
    assert Path(gallery.path).stat().st_size < 80_000
