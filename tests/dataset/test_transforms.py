"""Sizes, crops and flips against Pillow's own operations and the published rules."""

import numpy as np
import pytest
from PIL import Image

from src.dataset.transforms import MODES, Geometry, Placement, resize_ids, resize_photo
from src.utils.errors import UserError


@pytest.mark.parametrize(
    ("mode", "size", "resized", "final", "whole"),
    [
        ("scale_width", (2048, 1024), (1024, 512), (1024, 512), (1024, 512)),
        ("scale_width", (620, 460), (1024, 759), (1024, 759), (1024, 759)),
        ("scale_width_and_crop", (2048, 1024), (1024, 512), (512, 512), (1024, 512)),
        ("scale_width_and_crop", (1000, 200), (1024, 204), (512, 512), (1024, 204)),
        ("resize_and_crop", (2048, 1024), (1024, 1024), (512, 512), (1024, 1024)),
        ("crop", (2048, 1024), (2048, 1024), (512, 512), (2048, 1024)),
        ("crop", (400, 300), (400, 300), (400, 300), (400, 300)),
        ("none", (620, 460), (624, 464), (624, 464), (620, 460)),
        ("none", (2048, 1024), (2048, 1024), (2048, 1024), (2048, 1024)),
        ("none", (40, 24), (32, 32), (32, 32), (40, 24)),
    ],
)
def test_sizes_of_every_mode(mode, size, resized, final, whole):
    geometry = Geometry(mode, load_size=1024, fine_size=512, stride=16)
    assert geometry.resized(*size) == resized
    assert geometry.cropped(*resized) == final
    assert geometry.resized_whole(*size) == whole


def test_unknown_mode():
    with pytest.raises(UserError, match="scale_height.*scale_width"):
        Geometry("scale_height", 1024, 512, 16)


@pytest.mark.parametrize("size", [(10, 7), (64, 33), (31, 90)])
def test_resizing_is_pillows(size):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize_photo(photo, size), expected)
    for channels in (1, 4):
        many = np.dstack([photo, photo])[:, :, :channels]
        grey = np.asarray(Image.fromarray(photo[:, :, 0]).resize(size, Image.Resampling.BICUBIC))
        resized = resize_photo(many, size)
        assert resized.shape == (size[1], size[0], channels)
        np.testing.assert_array_equal(resized[:, :, 0], grey)
    ids = rng.integers(0, 65536, (40, 30)).astype(np.uint16)
    expected = np.asarray(Image.fromarray(ids.astype(np.int32)).resize(size, Image.Resampling.NEAREST))
    resized = resize_ids(ids, size)
    assert resized.dtype == np.uint16
    np.testing.assert_array_equal(resized, expected)
    np.testing.assert_array_equal(resize_ids(np.dstack([ids, ids]), size)[:, :, 1], expected)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(40, 30), (30, 12), (12, 30)])
def test_cropping_is_pillows_even_beyond_the_border(size, flip):
    geometry = Geometry("crop", 0, 16, 1)
    photo = np.random.default_rng(0).integers(1, 256, (size[1], size[0], 3), dtype=np.uint8)
    placement = geometry.draw(*size, True, np.random.default_rng(5))._replace(flip=flip)
    x, y = placement.x, placement.y
    expected = Image.fromarray(photo).crop((x, y, x + 16, y + 16))
    if flip:
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    np.testing.assert_array_equal(geometry.place(photo, placement), np.asarray(expected))
    np.testing.assert_array_equal(geometry.place(photo[:, :, 0], placement), np.asarray(expected)[:, :, 0])


def test_small_pictures_are_not_cropped():
    photo = np.zeros((10, 12, 3), np.uint8)
    assert Geometry("crop", 0, 16, 1).place(photo, Placement(0, 0, False)).shape == photo.shape


def test_draws_cover_all_positions_and_both_flips():
    geometry = Geometry("crop", 0, 16, 1)
    draws = [geometry.draw(18, 17, True, np.random.default_rng([0, 0, k])) for k in range(400)]
    assert {draw.x for draw in draws} == {0, 1, 2} and {draw.y for draw in draws} == {0, 1}
    assert 150 < sum(draw.flip for draw in draws) < 250
    kept = [geometry.draw(18, 17, False, np.random.default_rng([0, 0, k])) for k in range(400)]
    assert not any(draw.flip for draw in kept)
    assert [draw[:2] for draw in kept] == [draw[:2] for draw in draws]
    assert Geometry("scale_width", 18, 16, 1).draw(18, 17, True, np.random.default_rng(0))[:2] == (0, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(620, 460), (1000, 333), (50, 70), (16, 16), (2048, 1024)])
@pytest.mark.parametrize(("load", "fine", "stride"), [(1024, 512, 16), (1000, 500, 32), (300, 250, 32), (64, 8, 16)])
def test_the_way_out_of_a_size_error_works(mode, size, load, fine, stride):
    geometry = Geometry(mode, load, fine, stride)
    try:
        geometry.check_divisible(*size, "a.png")
    except UserError as error:
        message = str(error)
        assert "a.png" in message and f"{size[0]}x{size[1]}" in message and str(stride) in message
        rounding = Geometry("none", load, fine, stride)
        assert ("--resize_or_crop none" in message) == (min(rounding.resized(*size)) > 0)
        way = message.split(" or ")[-1]
        words = way[way.index("--") :].split()
        changes = {words[k]: words[k + 1] for k in range(0, len(words), 2)}
        better = Geometry(
            changes.get("--resize_or_crop", mode),
            int(changes.get("--load_size", load)),
            int(changes.get("--fine_size", fine)),
            stride,
        )
        better.check_divisible(*size, "a.png")
    else:
        width, height = geometry.cropped(*geometry.resized(*size))
        assert width % stride == 0 and height % stride == 0 and min(width, height) > 0
