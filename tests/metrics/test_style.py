"""Numbers for unpaired translation move the way they should."""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from src.metrics.style import StyleComparison, StyleDistances, layout_kept, side_by_side
from src.options.owner import ROOT


def images(number, seed, tint=(0.0, 0.0, 0.0), noise=0.0):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        blocks = rng.uniform(-0.5, 0.5, (1, 6, 8)).repeat(8, 1).repeat(8, 2)
        image = blocks + np.array(tint).reshape(3, 1, 1) + noise * rng.standard_normal((3, 48, 64))
        yield image.clip(-1, 1).astype(np.float32)


def test_layout_does_not_mind_new_colours_and_minds_moved_edges():
    source = np.random.default_rng(0).uniform(-1, 1, (3, 32, 48))
    assert layout_kept(source, source) == pytest.approx(1.0)
    assert layout_kept(source, 0.3 - 0.5 * source) == pytest.approx(1.0)
    moved = layout_kept(source, np.roll(source, 3, axis=2))
    assert moved < 0.3
    noisy = layout_kept(source, source + 0.2 * np.random.default_rng(1).standard_normal(source.shape))
    assert moved < noisy < 1
    assert layout_kept(source, np.zeros_like(source)) == 0


def test_style_is_that_of_the_palette_and_the_texture():
    distances = StyleComparison()
    for name, seed, changes in (
        ("A", 0, {}),
        ("like A", 1, {}),
        ("tinted", 2, {"tint": (0.3, 0.0, -0.3)}),
        ("rough", 3, {"noise": 0.4}),
    ):
        for image in images(12, seed, **changes):
            distances.add(name, image)
    same = distances.distance("A", "like A")
    assert distances.distance("A", "A") == 0
    assert distances.distance("A", "tinted") > 2 * same
    assert distances.distance("A", "rough") > 1.5 * same
    assert distances.distance("A", "nothing") is None


def test_report_names_both_distances(tmp_path):
    distances = StyleDistances({"fake_B": ("A", "B")})
    lines = []
    sets = [list(images(6, seed, tint)) for seed, tint in ((0, (0, 0, 0)), (1, (0.3, 0.0, -0.3)))]
    for a, b in zip(*sets, strict=True):
        tinted = a + np.array((0.3, 0.0, -0.3), np.float32).reshape(3, 1, 1)
        own = distances.add({"A": a[None], "B": b[None]}, {"fake_B": tinted[None]})
        assert own["fake_B layout"] > 0.9
    distances.report(tmp_path / "look.json", lines.append)
    numbers = json.loads((tmp_path / "look.json").read_text())["fake_B"]
    assert numbers["pictures"] == 6
    assert numbers["distance"] < 0.5 * numbers["distance_of_source"]
    assert len(lines) == 1 and "layout of A kept" in lines[0]


def test_systems_with_true_images_get_no_report(tmp_path):
    distances = StyleDistances({})
    assert distances.add({"A": np.zeros((1, 3, 32, 32))}, {"image": np.zeros((1, 3, 32, 32))}) == {}
    distances.report(tmp_path / "look.json", pytest.fail)
    assert not list(tmp_path.iterdir())


def test_side_by_side_takes_any_sizes():
    shown = side_by_side([np.zeros((20, 30, 3), np.uint8), np.full((40, 20, 3), 255, np.uint8)])
    assert shown.shape == (20, 40, 3) and shown[:, 30:].min() == 255


def test_distances_do_not_depend_on_how_texts_are_hashed():
    code = (
        "import numpy as np\nfrom src.metrics.style import StyleDistances\nfrom pathlib import Path\n"
        "rng = np.random.default_rng(0)\nstyles = StyleDistances({'fake_B': ('A', 'B'), 'fake_A': ('B', 'A')})\n"
        "batch = {name: rng.uniform(-1, 1, (1, 3, 32, 32)) for name in ('A', 'B', 'fake_A', 'fake_B')}\n"
        "styles.add(batch, batch)\nstyles.report(Path('style.json'), print)\n"
    )
    said = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tempfile.mkdtemp(),
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said.add(done.stdout)
    assert len(said) == 1
