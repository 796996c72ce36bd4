"""Drives: flow that is exact, occlusions, frames of one street, and files."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src.imaging.flow import read_flow, warp
from src.scenes.drives import STEP, make_drive, write_drives
from src.scenes.scenes import make_scene
from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
ROAD, SKY = 7, 23


@pytest.fixture(scope="module", params=["simulated", "photo"])
def drive(request):
    return list(make_drive([3, 1], 192, 96, 3, request.param)), request.param


def test_a_drive_begins_with_the_street_of_its_seed(drive):
    frames, style = drive
    scene = make_scene([3, 1], 192, 96, style)
    np.testing.assert_array_equal(frames[0].scene.label, scene.label)
    np.testing.assert_array_equal(frames[0].scene.instance, scene.instance)
    assert np.abs(frames[0].scene.photo.astype(float) - scene.photo).mean() < 12
    assert frames[0].flow is None and (frames[1].scene.label != scene.label).mean() > 0.01


def test_flow_leads_to_the_same_thing_with_the_same_colour(drive):
    frames, _ = drive
    for before, after in zip(frames, frames[1:], strict=False):
        flow, known = after.flow, after.known
        assert 0.75 < known.mean() < 0.99
        there = np.rint(flow + np.stack(np.meshgrid(np.arange(192), np.arange(96)), 2)).astype(int)
        seen = before.scene.instance[there[..., 1].clip(0, 95), there[..., 0].clip(0, 191)]
        np.testing.assert_array_equal(seen[known], after.scene.instance[known])
        photos = [frame.scene.photo.astype(np.float32) for frame in (before, after)]

        def error(flow, photos=photos, known=known):
            return ((photos[1] - warp(photos[0], flow.astype(np.float32))) ** 2)[known].mean()

        right = error(flow)
        assert right < 0.5 * error(0 * flow) and right < min(error(0.8 * flow), error(1.2 * flow))


def test_the_road_moves_as_its_plane_and_the_sky_stands(drive):
    """Row y below the horizon h shows the road at distance z = c / (y - h), which gives its flow; c and h fitted."""
    frames, _ = drive
    label, flow, known = frames[1].scene.label, frames[1].flow, frames[1].known
    assert not flow[known & (label == SKY)].any()
    rows, columns = np.nonzero(known & (label == ROAD))
    down = flow[rows, columns, 1]
    best = min(np.linspace(30, 50, 2001), key=lambda h: _misfit(rows, down, h)[0])
    misfit, distance = _misfit(rows, down, best)
    assert misfit < 0.005 and 50 < distance < 500
    across = flow[rows, columns, 0]
    centre = np.median(columns - across * (rows - best) / down)
    np.testing.assert_allclose(across, (columns - centre) * down / (rows - best), atol=0.02)


def _misfit(rows, down, horizon):
    below = rows - horizon
    if below.min() <= 0:
        return np.inf, 0.0
    scale = np.median(-STEP * below**2 / down - STEP * below)
    return np.abs(down + STEP * below**2 / (scale + STEP * below)).max(), scale


def test_written_drives(tmp_path):
    command = [sys.executable, str(ROOT / "data/create_street_scenes.py"), str(tmp_path / "made")]
    words = ["--train=1", "--test=2", "--frames=3", "--width=64", "--height=32", "--workers=2"]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "2 test drives of 3 frames" in done.stdout, done.stderr
    names = {path.name for path in (tmp_path / "made" / "test_img").iterdir()}
    assert names == {f"drive_0000{k}_000{t}.png" for k in range(2) for t in range(3)}
    flows = {path.name for path in (tmp_path / "made" / "test_flow").iterdir()}
    assert flows == {name for name in names if not name.endswith("_0000.png")}
    expected = list(make_drive([0, int.from_bytes(b"test", "little"), 1], 64, 32, 3))[2]
    flow, known = read_flow(tmp_path / "made" / "test_flow" / "drive_00001_0002.png")
    np.testing.assert_array_equal(known, expected.known)
    assert np.abs(flow - expected.flow)[known].max() <= 0.5 / 64
    with pytest.raises(UserError, match="test_flow is not empty"):
        for name in ("label", "inst", "img"):
            for path in (tmp_path / "made" / f"test_{name}").iterdir():
                path.unlink()
        write_drives(tmp_path / "made", "test", 1, 3, 64, 32)
    with pytest.raises(UserError, match="drives of 301 frames cannot be made: use 2 to 300"):
        write_drives(tmp_path / "other", "test", 1, 301, 64, 32)
