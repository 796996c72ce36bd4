"""Run folders from elsewhere: what never answers, never ends or has impossible names is named and left alone."""

import json
import os

import numpy as np
import pytest

from src.gallery.gallery import Gallery
from src.gallery.page import read_page
from src.runs.checkpoint_reader import CheckpointReader, newest_options
from src.runs.checkpoints import CheckpointStore, Position
from src.runs.manifest import _checksum, read_manifest
from src.utils.errors import UserError
from src.utils.files import read_small
from src.utils.tensorfile import read_metadata

ARRAYS = {"G": {"weight": np.arange(6, dtype=np.float32)}}


@pytest.fixture
def run(tmp_path):
    """A run of one checkpoint."""
    CheckpointStore(tmp_path / "run").save(Position(1), ARRAYS, {}, {"model": "cyclegan"}, "cyclegan")
    return tmp_path / "run"


def rewrite(run, change):
    """Change the manifest as a stranger would, with a right checksum."""
    body = json.loads((run / "manifest.json").read_text())
    del body["checksum"]
    change(body)
    (run / "manifest.json").write_text(json.dumps({"checksum": _checksum(body), **body}))


def test_a_pipe_is_not_waited_for(run):
    (run / "manifest.json").unlink()
    os.mkfifo(run / "manifest.json")
    said = []
    checkpoint = CheckpointReader(run, warn=said.append).load()
    np.testing.assert_array_equal(checkpoint.networks["G"]["weight"], ARRAYS["G"]["weight"])
    assert any("manifest.json cannot be read (it is a folder, a pipe or a device, not a file)" in text for text in said)
    (run / "1_net_G.safetensors").unlink()
    os.mkfifo(run / "1_net_G.safetensors")
    with pytest.raises(UserError, match="cannot read .*1_net_G.safetensors: it is a folder, a pipe or a device"):
        read_metadata(run / "1_net_G.safetensors")
    # the published name is left
    assert newest_options(run) == {"model": "cyclegan"}


def test_only_as_much_as_such_a_file_may_hold_is_read(tmp_path):
    (tmp_path / "large").write_bytes(bytes(101))
    assert read_small(tmp_path / "large", 101) == bytes(101)
    with pytest.raises(OSError, match="larger than 100 bytes"):
        read_small(tmp_path / "large", 100)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda body: body["checkpoints"][0]["files"]["net_G"].update(file="x" * 5000),
            "names a file that cannot be in its folder",
        ),
        (
            lambda body: body["checkpoints"][0]["files"]["net_G"].update(file="ü" * 200),
            "names a file that cannot be in its folder",
        ),
        (
            lambda body: body["checkpoints"][0]["files"]["net_G"].update(file="../thesis"),
            "names a file that cannot be in its folder",
        ),
        (lambda body: body["unfinished"].append("y" * 5000), "names a file that cannot be in its folder"),
        (lambda body: body["checkpoints"][0].update(tag="1" * 5000), "not a string of at most 255 characters"),
        (lambda body: body["checkpoints"][0].update(files={"net_" + "a" * 5000: {}}), "is damaged"),
        (lambda body: body["unfinished"].append("\ud800"), "is damaged"),
    ],
)
def test_impossible_names(run, change, reason):
    rewrite(run, change)
    manifest, problem = read_manifest(run)
    assert manifest is None and reason in problem and len(problem) < 400
    assert CheckpointReader(run, warn=lambda text: None).load().position == Position(1)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("losses", "steep"),
        ("notes", [1]),
        ("options", ["ngf"]),
        ("options", [["ngf", 4]]),
        ("results", [{"stem": 1, "numbers": {}, "images": {}}]),
        ("training", [{"epoch": "1", "iteration": 1, "images": {}}]),
        ("training", 7),
    ],
)
def test_pages_of_wrong_kinds_are_kept_aside(tmp_path, part, value):
    gallery = Gallery(tmp_path)
    gallery.note("before")
    page = gallery.write()
    state = json.loads(page.read_text().split('id="gallery-data">')[1].split("</script>")[0])
    text = page.read_text()
    page.write_text(_with(text, state | {part: value}))
    assert read_page(page) is None
    Gallery(tmp_path).write()
    assert len(list(page.parent.glob("index.html.unreadable-*"))) == 1
    assert read_page(page)["notes"] == []


def _with(text, state):
    head, _, rest = text.partition('id="gallery-data">')
    return f'{head}id="gallery-data">{json.dumps(state)}</script>{rest.partition("</script>")[2]}'


def test_a_page_that_is_a_pipe(tmp_path):
    page = Gallery(tmp_path).write()
    page.unlink()
    os.mkfifo(page)
    Gallery(tmp_path).write()
    assert page.is_file()
