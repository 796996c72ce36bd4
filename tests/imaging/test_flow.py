"""Optical flow: files of it, warping, the search, and where matches are trusted."""

import cv2
import numpy as np
import pytest

from src.imaging.flow import known_matches, read_flow, search_flow, warp, write_flow
from src.imaging.images import write_png
from src.utils.errors import UserError


def test_files_keep_64ths_of_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    flow, known = rng.uniform(-40, 40, (6, 9, 2)), rng.random((6, 9)) > 0.3
    flow[0, 0], known[0, :2], flow[0, 1, 1] = np.nan, False, 600.0
    known[1, 1], flow[1, 1, 0] = True, -513.0
    write_flow(tmp_path / "a.png", flow, known)
    # the layout of KITTI's development kit
    raw = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    assert raw.dtype == np.uint16 and raw[2, 3, 0] == round(flow[2, 3, 0] * 64) + 32768 or not known[2, 3]
    read, found = read_flow(tmp_path / "a.png")
    known[1, 1] = False  # out of range
    np.testing.assert_array_equal(found, known)
    assert np.abs(read - flow)[known].max() <= 0.5 / 64


def test_other_images_are_no_flow(tmp_path):
    for name, array in (("eight", np.zeros((4, 4, 3), np.uint8)), ("grey", np.zeros((4, 4), np.uint16))):
        write_png(tmp_path / f"{name}.png", array)
        with pytest.raises(UserError, match=f"{name}.png holds no optical flow"):
            read_flow(tmp_path / f"{name}.png")
    with pytest.raises(UserError, match=r"none\.png"):
        read_flow(tmp_path / "none.png")


def test_warping_moves_the_earlier_frame():
    image = np.arange(20, dtype=np.float32).reshape(4, 5)
    flow = np.zeros((4, 5, 2), np.float32)
    flow[..., 0] = -0.5
    np.testing.assert_allclose(warp(image, flow)[:, 1:], image[:, 1:] - 0.5)
    np.testing.assert_allclose(warp(image, flow)[:, 0], image[:, 0])


def test_the_search_finds_a_shift():
    coarse = np.random.default_rng(1).integers(0, 256, (14, 18, 3)).astype(np.uint8)
    scene = cv2.resize(coarse, (144, 112), interpolation=cv2.INTER_CUBIC)
    earlier, later = scene[8:72, 8:104], scene[9:73, 11:107]
    flow, known = search_flow(np.ascontiguousarray(earlier), np.ascontiguousarray(later))
    inner = (slice(8, -8), slice(8, -8))
    assert known[inner].mean() > 0.95
    assert np.abs(flow[inner] - (3, 1)).mean() < 0.2
    with pytest.raises(UserError, match="frames of 96x15: .* at least 16"):
        search_flow(earlier[:15], later[:15])


def test_what_is_hidden_is_not_known():
    """A square that moves by 4 pixels over a background that stands still, with the flow of both directions."""
    flow, opposite = np.zeros((2, 24, 32, 2), np.float32)
    flow[8:16, 12:20, 0], opposite[8:16, 8:16, 0] = -4, 4
    known = known_matches(flow, opposite)
    assert known[10:14, 14:18].all() and known[:6].all()
    # uncovered by the square, and its edge
    assert not known[9:15, 8:12].any() and not known[8:16, 11:13].any()
    flow[0, 0] = (-1, 0)
    assert not known_matches(flow, opposite)[0, 0]
