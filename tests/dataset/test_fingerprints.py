"""Records of earlier versions stay valid: the values below were written by version 1 for the same options."""

import pytest

from src.dataset.conditional import ConditionalReader, ConditionalRequest
from src.dataset.imagefolder import ImageReader, ImagesRequest
from src.dataset.paired import PairedReader, PairedRequest
from src.dataset.records import DEFAULT_FOLDER, open_records
from src.dataset.unpaired import UnpairedReader, UnpairedRequest
from src.dataset.unpaired_files import images_of, rows_of
from tests.dataset.samples import arrays, options_of, save, write_dataset

PAIRED = {"label_nc": 35, "stride": 4, "channels": {"image": 3}}
INSTANCES = {"max_instances": 32, "allow_8bit_instances": False}
WINDOW = {"width": 16, "height": 16}
CONDITIONAL = {
    "dataset": "pairs",
    "direction": "label2photo",
    "img_size": [16, 32],
    "label_resize": "bilinear",
    "label_nc": 35,
    "channels": [3, 3],
    "rows": 3,
}


@pytest.fixture
def root(tmp_path):
    """In the working folder, because lists are known by the paths in them."""
    write_dataset(tmp_path / "data", 3)
    for index in range(3):
        image = arrays(index)["img"]
        for name in (f"train_A/{index}", f"train_B/{index}", f"train_feat/city_{index:06d}_000019"):
            save(tmp_path / "data" / f"{name}.png", image)
        save(tmp_path / "data" / "trainA" / ("sub" if index == 1 else "") / f"a{index}.png", image)
    return "data"


def paired(root, request=(), **changes):
    options = options_of("pix2pixHD", root, **{"load_size": 32, "fine_size": 16, "max_instances": 32} | changes)
    return PairedReader(PairedRequest(**{"stride": 4, "label_nc": 35} | dict(request)), options, "train", True)


def unpaired(root, mode):
    options = options_of("cyclegan", root, resize_or_crop=mode, load_size=18, fine_size=16)
    rows = rows_of(images_of(options, "A", "train"), "A")
    return UnpairedReader(UnpairedRequest(stride=4), options, "trainA", rows, True)


def conditional(root, boundary=False, **changes):
    options = options_of("fullglow", root, dataset="pairs", **changes)
    return ConditionalReader(ConditionalRequest((16, 32), boundary=boundary), options, "train")


def images(root, fit):
    options = options_of("hflow", f"{root}/trainA", held_out=1, image_fit=fit)
    return ImageReader(ImagesRequest(16), options, "train", True)


@pytest.mark.parametrize(
    ("request_", "changes", "settings"),
    [
        ({}, {}, PAIRED | INSTANCES | {"resize_or_crop": "scale_width", "load_size": 32}),
        ({}, {"resize_or_crop": "crop"}, PAIRED | INSTANCES | {"resize_or_crop": "crop", "fine_size": 16}),
        ({}, {"resize_or_crop": "none"}, PAIRED | INSTANCES | {"resize_or_crop": "none"}),
        (
            {},
            {"resize_or_crop": "resize_and_crop"},
            PAIRED | INSTANCES | {"resize_or_crop": "resize_and_crop", "load_size": 32, "fine_size": 16},
        ),
        (
            {},
            {"resize_or_crop": "scale_width_and_crop"},
            PAIRED | INSTANCES | {"resize_or_crop": "scale_width_and_crop", "load_size": 32, "fine_size": 16},
        ),
        (
            {},
            {"max_dataset_size": 2},
            PAIRED | INSTANCES | {"resize_or_crop": "scale_width", "load_size": 32, "max_dataset_size": 2},
        ),
        ({"instances": False}, {}, PAIRED | {"resize_or_crop": "scale_width", "load_size": 32}),
        (
            {"feature_channels": 3},
            {"no_flip": True},
            PAIRED
            | INSTANCES
            | {"resize_or_crop": "scale_width", "load_size": 32, "channels": {"image": 3, "feat": 3}},
        ),
        (
            {"label_nc": 0, "instances": False, "input_channels": 1},
            {},
            {"label_nc": 0, "stride": 4, "resize_or_crop": "scale_width", "load_size": 32}
            | {"channels": {"label": 1, "image": 3}},
        ),
    ],
)
def test_settings_of_paired_data(root, request_, changes, settings):
    assert paired(root, request_, **changes).settings == settings


@pytest.mark.parametrize(
    ("mode", "settings"),
    [
        ("scale_short_and_crop", WINDOW | {"load_size": 18}),
        ("scale_width_and_crop", WINDOW | {"load_size": 18}),
        ("resize_and_crop", WINDOW | {"load_size": 18}),
        ("crop", WINDOW | {"load_size": 18}),
        ("squash", WINDOW),
        ("random_resized_crop", WINDOW | {"scale_l": 0.8}),
        ("center43", WINDOW),
        ("none", {}),
    ],
)
def test_settings_of_unpaired_data(root, mode, settings):
    wanted = {"channels": 3, "rows": "73a139835882", "resize_or_crop": mode, **settings}
    assert unpaired(root, mode).settings == wanted


def test_settings_of_other_data(root):
    assert conditional(root).settings == CONDITIONAL
    assert conditional(root, mapping="photo2label", label_resize="nearest").settings == CONDITIONAL | {
        "direction": "photo2label",
        "label_resize": "nearest",
    }
    for fit in ("squash", "crop"):
        assert images(root, fit).settings == {"size": 16, "image_fit": fit, "rows": 2}


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (paired, "paired-train-8805ba9bae59"),
        (lambda root: unpaired(root, "scale_short_and_crop"), "unpaired-trainA-3ade1dae5552"),
        (conditional, "conditional-train-6a201016ceb1"),
        (lambda root: conditional(root, boundary=True), "conditional-train-ae3c9ca572fa"),
        (lambda root: images(root, "crop"), "images-train-7dd22b686edf"),
    ],
    ids=["paired", "unpaired", "conditional", "boundaries", "images"],
)
def test_names_of_records(root, tmp_path, make, name):
    open_records(make(root), root)
    assert [path.stem for path in (tmp_path / root / DEFAULT_FOLDER).glob("*.json")] == [name]
