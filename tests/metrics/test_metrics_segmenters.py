"""mIoU from a folder of predictions and from a segmenter that is run as ONNX and as MINDIR."""

import json

import mindspore as ms
import numpy as np
import onnx
import pytest
from mindspore import Tensor, nn, ops
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from eval import main as evaluate
from src.imaging.palette import CITYSCAPES, IGNORED
from src.metrics.labels import Named
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures

SCORED = sorted((row.train_id, row.colour) for row in CITYSCAPES if row.train_id != IGNORED)
COLOURS = np.array([colour for _, colour in SCORED], np.float64)
IDS = {row.train_id: number for number, row in enumerate(CITYSCAPES) if row.train_id != IGNORED}
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SIZE = (24, 32)


def linear_segmenter():
    """1x1 convolution whose highest score is that of the nearest class colour, for normalised pictures.

    -|x - c|^2 is 2 c.x - |c|^2 up to what all classes share, and x is 255 (deviation * input + mean).
    """
    weight = 2 * COLOURS * 255 * DEVIATION
    bias = 2 * COLOURS @ (255 * MEAN) - (COLOURS**2).sum(1)
    return (weight / 1e4).astype(np.float32)[:, :, None, None], (bias / 1e4).astype(np.float32)


def write_onnx(path, height, width):
    weight, bias = linear_segmenter()
    node = helper.make_node("Conv", ["image", "w", "b"], ["scores"])
    graph = helper.make_graph(
        [node],
        "segmenter",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 19, height, width])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, str(path))
    return path


def write_identity(path, shape):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "scores")]
    graph = helper.make_graph([helper.make_node("Identity", ["image"], ["scores"])], "segmenter", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), str(path))


class Segmenter(nn.Cell):
    def __init__(self):
        super().__init__()
        weight, bias = (Tensor(x) for x in linear_segmenter())
        self.conv = nn.Conv2d(3, 19, 1, has_bias=True, weight_init=weight, bias_init=bias)

    def construct(self, x):
        return self.conv(x)


class Decided(Segmenter):
    def construct(self, x):
        return ops.argmax(self.conv(x), 1)


def write_mindir(path, cell):
    ms.export(cell, Tensor(np.zeros((1, 3, *SIZE), np.float32)), file_name=str(path), file_format="MINDIR")
    return path


@pytest.fixture
def streets(tmp_path):
    """Two label maps, pictures in exactly their colours, and fakes in which class 5 is drawn as class 0."""
    rng = np.random.default_rng(0)
    truth, real, fake = {}, {}, {}
    for stem in ("a", "b"):
        ids = rng.permutation(np.repeat(np.arange(12) % 6, 1)).reshape(3, 4).repeat(8, 0).repeat(8, 1)
        truth[stem] = np.vectorize(IDS.get)(ids).astype(np.uint8)
        real[stem] = COLOURS[ids].astype(np.uint8)
        fake[f"{stem}_fake"] = COLOURS[np.where(ids == 5, 0, ids)].astype(np.uint8)
    write_pictures(tmp_path / "truth", truth)
    write_pictures(tmp_path / "real", real)
    write_pictures(tmp_path / "fake", fake)


def measure(**options):
    options = {"fake": "fake", "device_target": "CPU", "mode": "pynative"} | options
    words = [f"--{key}={value}" for key, value in options.items()]
    assert evaluate(["--metrics=miou", *words]) == 0
    with open("results/predict/metrics/metrics.json") as file:
        measurements = json.load(file)["measurements"]
    return {(m["output"], m["metric"]): m for m in measurements}


def check_five_drawn_as_zero(found):
    """Each of six classes has 2 of 12 blocks: 5 is never right, 0 is right on its 2 of 4, the rest always."""
    assert found["fake", "miou"]["value"] == pytest.approx((4 + 0.5 + 0) / 6)
    assert found["fake", "pixel_accuracy"]["value"] == pytest.approx(10 / 12)
    assert found["fake", "class_accuracy"]["value"] == pytest.approx(5 / 6)
    ious = found["fake", "miou"]["details"]
    assert (ious["road"], ious["wall"], ious["pole"], ious["sky"]) == (0.5, 1.0, 0.0, None)
    assert "absent from all images and from the mean: 13 of 19 classes" in found["fake", "miou"]["warnings"][0]


def test_onnx_with_an_oracle(streets, tmp_path):
    write_onnx(tmp_path / "segmenter.onnx", *SIZE)
    found = measure(segmenter="segmenter.onnx", truth="truth", real="real")
    check_five_drawn_as_zero(found)
    assert found["real images (oracle)", "miou"]["value"] == 1.0
    protocol = found["fake", "miou"]["protocol"]
    assert protocol["segmenter_input"].startswith("32x24 (Pillow bicubic), RGB / 255, mean [0.485")
    assert len(protocol["segmenter_sha256"]) == 64 and protocol["count"] == 2


@pytest.mark.parametrize("cell", [Segmenter, Decided])
def test_mindir(streets, tmp_path, cell):
    write_mindir(tmp_path / "segmenter.mindir", cell())
    check_five_drawn_as_zero(measure(segmenter="segmenter.mindir", truth="truth"))


def test_normalisation_is_that_of_the_options(streets, tmp_path):
    write_onnx(tmp_path / "segmenter.onnx", *SIZE)
    wrong = measure(segmenter="segmenter.onnx", truth="truth", segmenter_mean="[0,0,0]", segmenter_std="[1,1,1]")
    assert wrong["fake", "miou"]["value"] < 0.5


def test_without_label_maps_the_segmenter_is_asked_twice(streets, tmp_path):
    write_onnx(tmp_path / "segmenter.onnx", *SIZE)
    found = measure(segmenter="segmenter.onnx", real="real")
    check_five_drawn_as_zero(
        found | {("fake", "miou"): found["fake", "miou"] | {"warnings": found["fake", "miou"]["warnings"][1:]}}
    )
    assert "agreement with the segmenter itself" in found["fake", "miou"]["warnings"][0]
    assert found["fake", "miou"]["protocol"]["truth"] == "what the segmenter sees in the real image"
    with pytest.raises(UserError, match="no true label map for 2 of 2 images of fake .first: a_fake.: pass --truth"):
        measure(segmenter="segmenter.onnx")


def test_folder_of_ids_of_another_size(streets, tmp_path):
    halves = {}
    for stem in ("a", "b"):
        ids = np.asarray(Image.open(tmp_path / "truth" / f"{stem}.png")).copy()
        ids[ids == IDS[5]] = IDS[0]
        halves[f"{stem}_fake"] = ids[::2, ::2]
    write_pictures(tmp_path / "seen", halves)
    check_five_drawn_as_zero(measure(segmenter="seen", truth="truth"))
    check_five_drawn_as_zero(measure(segmenter="fake", truth="truth", segmenter_output="colours"))
    (tmp_path / "seen" / "b_fake.png").unlink()
    with pytest.raises(UserError, match="seen lacks predictions for 1 of 2 images .first: b_fake.png."):
        measure(segmenter="seen", truth="truth")


def test_label_sets_of_ones_own(tmp_path):
    truth = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8).repeat(8, 0).repeat(8, 1)
    seen = np.where(truth == 2, 1, truth)
    for folder, picture in (("fake", blocks(0, 16, 32)), ("truth", truth), ("seen", seen)):
        write_pictures(tmp_path / folder, {"a": picture})
    found = measure(segmenter="seen", truth="truth", truth_ids="own", label_nc=3)
    assert found["fake", "miou"]["value"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["fake", "pixel_accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["fake", "miou"]["details"] == {"class 0": 1.0, "class 1": 0.5, "class 2": 0.0}
    with pytest.raises(UserError, match="pass --label_nc"):
        measure(segmenter="seen", truth="truth", truth_ids="own", label_nc=0)


def test_names_are_not_confused_with_longer_ones(tmp_path):
    write_pictures(tmp_path / "seen", {name: blocks(0, 8, 8) for name in ("s10_fake", "s1_fake", "s2")})
    named = Named(tmp_path / "seen")
    assert named.find("s1").stem == "s1_fake" and named.find("s10").stem == "s10_fake"
    assert named.find("s") is None and named.find("x", "s2").stem == "s2"
    assert named.owner("s2_synthesized_image_3").stem == "s2" and named.owner("s20") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segmenter": "none.onnx"}, "segmenter none.onnx does not exist"),
        ({"segmenter": "broken.onnx"}, "cannot open broken.onnx"),
        ({"segmenter": "broken.mindir"}, "broken.mindir is not a MINDIR"),
        ({"segmenter": "good.onnx", "segmenter_size": "[10,10]"}, "takes images of 32x24 only"),
        ({"segmenter": "good.onnx", "segmenter_mean": "[0.5]"}, "should be three numbers"),
        ({"segmenter": "good.onnx", "segmenter_output": "colours"}, "colours is for folders"),
        ({"segmenter": "fake.txt"}, "neither a folder nor"),
        ({"segmenter": "three.onnx"}, "three.onnx cannot be run on an? image of 32x24"),
    ],
)
def test_what_cannot_be_run(streets, tmp_path, options, message):
    (tmp_path / "broken.onnx").write_bytes(b"x" * 100)
    (tmp_path / "broken.mindir").write_bytes(b"x" * 100)
    write_onnx(tmp_path / "good.onnx", *SIZE)
    write_identity(tmp_path / "three.onnx", [3, *SIZE])
    with pytest.raises(UserError, match=message):
        measure(truth="truth", **options)


def test_a_convolutional_mindir_sees_pictures_at_their_own_size_or_at_that_of_the_options(streets, tmp_path):
    write_mindir(tmp_path / "segmenter.mindir", Segmenter())
    large = {s: np.asarray(Image.open(tmp_path / "fake" / f"{s}_fake.png")).repeat(2, 0).repeat(2, 1) for s in "ab"}
    write_pictures(tmp_path / "large", {f"{stem}_fake": picture for stem, picture in large.items()})
    for options, shown in (({}, "the image's own size"), ({"segmenter_size": "[48,64]"}, "64x48 (Pillow bicubic)")):
        found = measure(fake="large", segmenter="segmenter.mindir", truth="truth", **options)
        assert found["large", "miou"]["value"] == pytest.approx((4 + 0.5 + 0) / 6)
        assert found["large", "miou"]["protocol"]["segmenter_input"].startswith(shown)
