"""Sizes, crops and flips against Pillow's own operations, the published rules, and the values of earlier versions."""

import hashlib
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from src.dataset.geometry import MODES, Geometry, Placement
from src.dataset.owners import PAIRED, UNPAIRED
from src.utils.errors import UserError

EVERY = [(kind, mode) for kind, modes in MODES.items() for mode in modes]


def paired(mode, load_size, side, stride=1):
    return Geometry("paired", mode, load_size, side, side, stride)


def unpaired(mode, load_size, width, height, *more):
    return Geometry("unpaired", mode, load_size, width, height, *more)


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
def test_sizes_of_paired_data(mode, size, resized, final, whole):
    geometry = paired(mode, 1024, 512, 16)
    assert geometry.resized(*size) == resized
    assert geometry.cropped(*resized) == final
    assert geometry.resized_whole(*size) == whole


@pytest.mark.parametrize(
    ("mode", "size", "resized", "whole"),
    [
        ("scale_short_and_crop", (1914, 1052), (1042, 573), (932, 512)),
        ("scale_short_and_crop", (300, 500), (573, 955), (512, 853)),
        ("scale_width_and_crop", (2048, 1146), (573, 320), (573, 321)),
        ("resize_and_crop", (1914, 1052), (573, 573), (512, 512)),
        ("squash", (1914, 1052), (512, 512), (512, 512)),
        ("crop", (1914, 1052), (1914, 1052), (1914, 1052)),
    ],
)
def test_sizes_of_unpaired_data(mode, size, resized, whole):
    geometry = unpaired(mode, 573, 512, 512 if mode != "scale_width_and_crop" else 256)
    assert geometry.resized(*size) == resized
    assert geometry.whole({"A": np.zeros((size[1], size[0], 3), np.uint8)})["A"].shape[1::-1] == whole


@pytest.mark.parametrize(("kind", "owners"), [("paired", PAIRED), ("unpaired", UNPAIRED)])
def test_the_options_offer_the_modes_of_their_kind(kind, owners):
    choices = [document for owner in owners for document in yaml.safe_load_all(owner.path.read_text())]
    offered = [
        document["resize_or_crop"] for document in choices if isinstance((document or {}).get("resize_or_crop"), list)
    ]
    assert sorted(offered[-1]) == sorted(MODES[kind])


def test_modes_of_another_kind_are_refused():
    with pytest.raises(UserError, match=r"scale_height is not for paired data.*scale_width"):
        paired("scale_height", 1024, 512)
    with pytest.raises(UserError, match=r"scale_width is not for unpaired data.*squash"):
        unpaired("scale_width", 1024, 512, 512)
    with pytest.raises(UserError, match=r"scale_l 0.9 and scale_h 0.8 are fractions"):
        unpaired("squash", 1024, 512, 512, 1, 0.9, 0.8)


# sizes of files, and (load_size, width, height), of the values below
SIZES = ((30, 20), (20, 30), (64, 48), (17, 33), (200, 40), (16, 16), (5, 9), (100, 70), (301, 199))
NUMBERS = ((24, 16, 12), (33, 16, 16), (16, 40, 24), (57, 12, 31))


def views(kind, mode):
    """Digest of every size, of the position of every pixel in stored and drawn maps, and of the draws themselves."""
    digest = hashlib.sha256()
    for load_size, width, height in NUMBERS:
        height = width if kind == "paired" else height
        geometry = Geometry(kind, mode, load_size, width, height, 1, 0.7, 0.9)
        for size in SIZES:
            ids = {"ids": np.arange(size[0] * size[1], dtype=np.uint16).reshape(size[::-1])}
            arrays = [geometry.whole(ids)["ids"]]
            try:
                stored = geometry.store(ids, "a.png")
            except UserError:
                arrays.append(np.zeros(0))
            else:
                for draw in range(4):
                    rng = np.random.default_rng([draw, *size])
                    arrays += [geometry.sample(stored, True, kind == "unpaired", rng)["ids"], rng.random(1)]
                arrays.append(stored["ids"])
            digest.update(str(geometry.resized(*size)).encode())
            for array in arrays:
                digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


# computed by version 1, which had one class for paired and one for unpaired data
VIEWS = {
    ("paired", "crop"): "7278f8e2753f5785",
    ("paired", "none"): "7d4e1d22ef9a272a",
    ("paired", "resize_and_crop"): "2e455197b24bf493",
    ("paired", "scale_width"): "7f39e5e0781e99cd",
    ("paired", "scale_width_and_crop"): "c61967a2a12b6853",
    ("unpaired", "center43"): "be2359d654a2e515",
    ("unpaired", "crop"): "ec4e242052bc12e0",
    ("unpaired", "none"): "9fff482be6870480",
    ("unpaired", "random_resized_crop"): "33755c3b7ecb7ffc",
    ("unpaired", "resize_and_crop"): "2f685f9351a51c12",
    ("unpaired", "scale_short_and_crop"): "b88c6c1a251ac75c",
    ("unpaired", "scale_width_and_crop"): "a534270c0e8377c6",
    ("unpaired", "squash"): "47f3b75a09695314",
}


@pytest.mark.parametrize(("kind", "mode"), EVERY)
def test_views_are_those_of_earlier_versions(kind, mode):
    assert views(kind, mode) == VIEWS[kind, mode]


@pytest.mark.parametrize(
    ("geometry", "settings"),
    [
        (paired("crop", 24, 16, 4), {"stride": 4, "fine_size": 16}),
        (paired("none", 24, 16, 4), {"stride": 4}),
        (paired("resize_and_crop", 24, 16, 4), {"stride": 4, "load_size": 24, "fine_size": 16}),
        (paired("scale_width", 24, 16, 4), {"stride": 4, "load_size": 24}),
        (paired("scale_width_and_crop", 24, 16, 4), {"stride": 4, "load_size": 24, "fine_size": 16}),
        (unpaired("center43", 24, 16, 12, 4), {"width": 16, "height": 12}),
        (unpaired("crop", 24, 16, 12, 4), {"load_size": 24, "width": 16, "height": 12}),
        (unpaired("none", 24, 16, 12, 4), {}),
        (unpaired("random_resized_crop", 24, 16, 12, 4, 0.7), {"width": 16, "height": 12, "scale_l": 0.7}),
        (unpaired("resize_and_crop", 24, 16, 12, 4), {"load_size": 24, "width": 16, "height": 12}),
        (unpaired("scale_short_and_crop", 24, 16, 12, 4), {"load_size": 24, "width": 16, "height": 12}),
        (unpaired("scale_width_and_crop", 24, 16, 12, 4), {"load_size": 24, "width": 16, "height": 12}),
        (unpaired("squash", 24, 16, 12, 4), {"width": 16, "height": 12}),
    ],
)
def test_fingerprints_of_records_are_those_of_earlier_versions(geometry, settings):
    assert geometry.settings == {"resize_or_crop": geometry.mode} | settings


def test_filters_are_those_of_the_published_preparations():
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    for kind, mode in EVERY:
        geometry = Geometry(kind, mode, 24, 16, 16)
        if geometry.resized_whole(60, 40) == (60, 40):
            continue
        bilinear = mode in ("center43", "random_resized_crop", "squash")
        resample = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        expected = np.asarray(Image.fromarray(photo).resize(geometry.resized_whole(60, 40), resample))
        np.testing.assert_array_equal(geometry.whole({"A": photo})["A"], expected, err_msg=mode)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(40, 30), (30, 12), (12, 30)])
def test_cropping_is_pillows_even_beyond_the_border(size, flip):
    geometry = paired("crop", 0, 16)
    photo = np.random.default_rng(0).integers(1, 256, (size[1], size[0], 3), dtype=np.uint8)
    placement = geometry.draw(*size, True, False, np.random.default_rng(5))._replace(flip=flip)
    x, y = placement.x, placement.y
    expected = Image.fromarray(photo).crop((x, y, x + 16, y + 16))
    if flip:
        expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    np.testing.assert_array_equal(geometry.place(photo, placement), np.asarray(expected))
    np.testing.assert_array_equal(geometry.place(photo[:, :, 0], placement), np.asarray(expected)[:, :, 0])


def test_small_images_of_paired_data_are_not_cropped():
    photo = np.zeros((10, 12, 3), np.uint8)
    geometry = paired("crop", 0, 16)
    placement = geometry.draw(12, 10, False, False, np.random.default_rng(0))
    assert placement == Placement(0, 0, 12, 10, False) and geometry.place(photo, placement).shape == photo.shape


def test_draws_cover_all_positions_and_both_flips():
    geometry = paired("crop", 0, 16)
    draws = [geometry.draw(18, 17, True, False, np.random.default_rng([0, 0, k])) for k in range(400)]
    assert {draw.x for draw in draws} == {0, 1, 2} and {draw.y for draw in draws} == {0, 1}
    assert 150 < sum(draw.flip for draw in draws) < 250
    kept = [geometry.draw(18, 17, False, False, np.random.default_rng([0, 0, k])) for k in range(400)]
    assert not any(draw.flip for draw in kept)
    assert [draw[:2] for draw in kept] == [draw[:2] for draw in draws]
    assert paired("scale_width", 18, 16).draw(18, 17, True, False, np.random.default_rng(0))[:2] == (0, 0)


def test_random_resized_crop_varies_and_keeps_the_aspect_ratio():
    """The published ratios (3/4 to 4/3) never fit images twice as wide as high; these do."""
    geometry = unpaired("random_resized_crop", 0, 32, 16)
    boxes = {geometry.draw(200, 100, False, False, np.random.default_rng(i))[:4] for i in range(50)}
    assert len(boxes) > 40
    for x, y, w, h in boxes:
        assert 0 <= x <= 200 - w and 0 <= y <= 100 - h
        assert 0.79 < w * h / 20000 <= 1.0 and 1.49 < w / h < 2.68


def test_centre_crop_of_the_published_training():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 34:167] = 255  # the central part of shape 4:3, 133 pixels wide
    stored = unpaired("center43", 0, 32, 16).store({"A": image}, "x.png")["A"]
    assert stored.shape == (16, 32, 3)
    assert stored.min() > 200


@pytest.mark.parametrize(("kind", "mode"), EVERY)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 200), (2000, 2)])
def test_tiny_and_extreme_images_pass(kind, mode, size):
    """In evaluation; in training a window of at least one pixel is drawn, or a message names what fits."""
    width, height = (16, 16) if kind == "paired" else (12, 32)
    geometry = Geometry(kind, mode, 24, width, height, 4)
    ids = {"ids": np.ones(size[::-1], np.uint16)}
    whole = geometry.whole(ids)["ids"]
    assert whole.shape[::-1] == geometry.resized_whole(*size) and whole.min() == 1
    try:
        stored = geometry.store(ids, "a.png")
    except UserError as error:
        assert "a.png" in str(error)
        return
    sample = geometry.sample(stored, True, kind == "unpaired", np.random.default_rng(0))["ids"]
    assert sample.shape[::-1] == geometry.cropped(*geometry.resized(*size)) and sample.size
    assert kind == "paired" or sample.min() == 1


@pytest.mark.parametrize(("kind", "mode"), EVERY)
@pytest.mark.parametrize("size", [(620, 460), (1000, 333), (50, 70), (16, 16), (2048, 1024)])
@pytest.mark.parametrize(("load", "fine", "stride"), [(1024, 512, 16), (1000, 500, 32), (300, 250, 32), (64, 8, 16)])
def test_every_way_out_of_a_size_error_works(kind, mode, size, load, fine, stride):
    height = fine if kind == "paired" else fine // 2 + 3
    geometry = Geometry(kind, mode, load, fine, height, stride)
    try:
        geometry.check(*size, "a.png")
    except UserError as error:
        message = str(error)
        assert f"a.png ({size[0]}x{size[1]})" in message and (str(stride) in message or "smaller" in message)
        ways = message.split(": pass ")[-1].split(" or ")
        assert 1 <= len(ways) <= 2
        for way in ways:
            changes = dict(re.findall(r"--(\w+) (\w+)", way))
            sides = [
                int(changes.get("fine_size", changes.get(f"crop_{s}", n)))
                for s, n in (("width", fine), ("height", height))
            ]
            better = Geometry(
                kind, changes.get("resize_or_crop", mode), int(changes.get("load_size", load)), *sides, stride
            )
            better.check(*size, "a.png")
    else:
        final = geometry.cropped(*geometry.resized(*size))
        assert final[0] % stride == 0 and final[1] % stride == 0 and min(final) > 0
