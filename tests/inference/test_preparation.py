"""Arrays from Python become what their files become, to the last bit."""

import struct

import numpy as np
import pytest
from PIL import Image

from src import load
from src.dataset.id_maps import edges
from src.dataset.transforms import resize_ids, resize_photo
from src.imaging.images import image_to_unit, read_image
from src.imaging.palette import colour_labels
from src.inference.arrays import as_units, fitted
from src.utils.errors import UserError
from tests.dataset.samples import arrays, save
from tests.saved_runs import save_run

# of files; the networks take other sizes
SIZE = {"width": 72, "height": 40}


def opened(run, root):
    return load(run, device_target="CPU", mode="pynative", data_root=str(root))


def batches(model):
    return [batch for _, epoch in model.data("test").epochs(1) for batch in epoch]


def assert_prepared(model, image, condition, batch, instances=None):
    """What the network is given, because a fresh one hardly depends on its condition."""
    (sample,), _ = model._samples(condition, instances)
    model._add_images([sample], image)
    assert sample.keys() == batch.keys() - {"id"}
    for name, array in sample.items():
        np.testing.assert_array_equal(array, batch[name][0], err_msg=name)


@pytest.fixture
def root(tmp_path):
    for index in range(2):
        for name, array in arrays(index, **SIZE).items():
            save(tmp_path / "data" / f"test_{name}" / f"{index}.png", array)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_resize": "nearest"},
        {"condition_nc": 1},
        {"condition_nc": 1, "label_resize": "nearest"},
        {"mapping": "photo2label", "label_resize": "nearest"},
        {"mapping": "photo2label", "condition_nc": 1, "image_nc": 1},
        {"mapping": "bmap2label"},
        {"mapping": "bmap2label", "label_resize": "nearest"},
        {"use_bmaps": True},
        {"use_bmaps": True, "label_resize": "nearest"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
def test_conditional_flows(root, tmp_path, changes):
    model = opened(save_run(tmp_path, "fullglow", **changes), root)
    found = batches(model)
    assert len(found) == 2
    for index, batch in enumerate(found):
        label, inst, photo = arrays(index, **SIZE).values()
        made = {"label": label, "photo": Image.fromarray(photo), "bmap": Image.fromarray(edges(inst))}
        source, _, target = changes.get("mapping", "label2photo").partition("2")
        image = Image.fromarray(colour_labels(label, 35)) if target == "label" else made["photo"]
        assert_prepared(model, image, made[source], batch, inst if "use_bmaps" in changes else None)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_the_editor(root, tmp_path, channels):
    """A photo that conditions a flow is drawn from as its file is evaluated."""
    model = opened(save_run(tmp_path, "fullglow", mapping="photo2label", condition_nc=channels), root)
    studio = model.system.studio_class()(model, model.config.replace(phase="test"))
    for index, batch in enumerate(batches(model)):
        shown = Image.fromarray(studio.source.open(index).rgb)
        (sample,), _ = model._samples(shown, None)
        np.testing.assert_array_equal(sample["condition"], batch["condition"][0])


def test_classes_as_planes(tmp_path):
    digits = np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8)
    for name, array in (("images-idx3", digits), ("labels-idx1", np.uint8([4, 9]))):
        header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(header + array.tobytes())
    planes = {"dataset": "mnist", "mapping": "label2digit", "condition_nc": 10, "image_nc": 1}
    model = opened(save_run(tmp_path, "fullglow", **planes), tmp_path)
    for digit, number, batch in zip(digits, (4, 9), batches(model), strict=True):
        condition = np.full((28, 28), number, np.uint8)
        assert_prepared(model, Image.fromarray(digit), condition, batch)


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_square_images(root, tmp_path, fit):
    model = opened(save_run(tmp_path, "hflow", image_fit=fit), root)
    for index, batch in enumerate(batches(model)):
        latents = model.encode(arrays(index, **SIZE)["img"], fit=fit)
        for got, wanted in zip(latents, model.inverse(np.float32(0.5) * batch["image"]), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_instances(root, tmp_path):
    model = opened(save_run(tmp_path, "feat"), root)
    for index, batch in enumerate(batches(model)):
        label, inst, photo = arrays(index, **SIZE).values()
        size = batch["image"].shape[:1:-1]
        label, inst, photo = resize_ids(label, size), resize_ids(inst, size), resize_photo(photo, size)
        encoded = model.encode(photo, label, inst)
        ids = batch["inst_id"][0]
        assert list(encoded) == ids[ids >= 0].tolist()
        means = model._means({name: batch[name] for name in ("label", "inst", "image")})[0]
        for row, values in enumerate(encoded.values()):
            np.testing.assert_array_equal(values, means[row])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_images_of_every_mode(tmp_path, mode, channels):
    colours = Image.fromarray(arrays(0, **SIZE)["img"])
    image = colours.quantize(64) if mode == "P" else colours.convert(mode)
    image.save(tmp_path / "image.png")
    (unit,), _ = as_units(Image.open(tmp_path / "image.png"), channels)
    np.testing.assert_array_equal(unit, image_to_unit(read_image(tmp_path / "image.png", channels)))


def test_floats_of_the_right_size_keep_their_bits():
    unit = np.random.default_rng(0).uniform(-1, 1, (3, 8, 12)).astype(np.float32)
    assert fitted(unit, (8, 12), lambda image: image[:1]) is unit
    halved = fitted(unit, (4, 12), lambda image: image[::2])
    np.testing.assert_allclose(halved, unit[:, ::2], atol=1 / 255 + 1e-6)


def test_images_that_no_network_takes():
    for image, channels in ((Image.new("RGB", (4, 4)), 2), (Image.new("La", (4, 4)), 3)):
        with pytest.raises(UserError, match=f"image is a PIL image of mode {image.mode}: .* takes {channels} channel"):
            as_units(image, channels, "image")
