"""An encoder in the form of AdaIN's from files of VGG16 and VGG19."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from data import normalise_encoder
from src.imaging.images import image_to_unit, write_png
from src.models.hierarchyflow.vgg import LAYERS, load_normalised_vgg
from src.utils.errors import UserError
from src.utils.tensorfile import write_arrays

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, size in (("a", (24, 32)), ("b", (17, 20))):
        write_png(folder / f"{name}.png", rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


def network(kind):
    """Random weights of torchvision's names and shapes up to relu4_1, and one layer behind it."""
    rng, arrays = np.random.default_rng(1), {}
    shapes = [(a, b) for _, a, b in LAYERS[1:]]
    for place, (inputs, outputs) in zip(normalise_encoder.PLACES[kind], shapes, strict=True):
        if place is not None:
            spread = np.sqrt(2 / (9 * inputs))
            arrays[f"features.{place}.weight"] = rng.normal(0, spread, (outputs, inputs, 3, 3)).astype(np.float32)
            arrays[f"features.{place}.bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)
    return arrays


def plain(arrays, kind, image, stop):
    """Responses of the first ``stop`` layers to an image as torchvision runs them, but with mirrored borders."""
    x, responses = Tensor((image / 255 - MEAN.reshape(1, 3, 1, 1)) / STD.reshape(1, 3, 1, 1)), []
    for n, place in enumerate(normalise_encoder.PLACES[kind][:stop]):
        if place is not None:
            x = ops.conv2d(
                ops.pad(x, (1, 1, 1, 1), "reflect"),
                *(Tensor(arrays[f"features.{place}.{part}"]) for part in ("weight", "bias")),
            )
            x = ops.relu(x)
        responses.append(x.asnumpy())
        if LAYERS[n + 1][0] in (5, 12, 25):
            x = ops.max_pool2d(x, 2, 2, ceil_mode=True)
    return responses


@pytest.mark.parametrize("kind", ["VGG16", "VGG19"])
def test_each_response_is_that_of_the_network_but_for_its_scale(tmp_path, photos, kind):
    arrays, source, target = network(kind), tmp_path / "vgg.safetensors", tmp_path / "normalised.safetensors"
    write_arrays(source, arrays, {})
    normalise_encoder.main([str(source), str(target), "--images", str(photos)])
    encoder = load_normalised_vgg(str(target))
    image = np.random.default_rng(2).integers(0, 256, (1, 3, 24, 32)).astype(np.float32)
    ours = encoder.responses(Tensor(image / 255))
    for response, expected in zip(ours, plain(arrays, kind, image, 9), strict=True):
        response = response.asnumpy()
        alive = expected.mean((0, 2, 3)) > 1e-3
        scale = response.mean((0, 2, 3))[alive] / expected.mean((0, 2, 3))[alive]
        np.testing.assert_allclose(response[:, alive], expected[:, alive] * scale.reshape(1, -1, 1, 1), atol=2e-3)


def test_mean_responses_are_one(tmp_path, photos):
    source, target = tmp_path / "vgg.safetensors", tmp_path / "normalised.safetensors"
    write_arrays(source, network("VGG16"), {})
    normalise_encoder.main([str(source), str(target), "--images", str(photos)])
    encoder = load_normalised_vgg(str(target))
    files = sorted(photos.glob("*.png"))
    means = []
    for response in zip(*(encoder.responses(Tensor((image(file) + 1) / 2)) for file in files), strict=True):
        means.append(np.mean([one.asnumpy().mean((0, 2, 3)) for one in response], 0))
    usual = np.concatenate(means)
    assert usual.max() < 1.001 and np.median(usual) > 0.999


def image(file):
    return image_to_unit(normalise_encoder.read_image(file))[None]


@pytest.mark.parametrize(
    "words, message",
    [
        (["vgg.safetensors", "out.safetensors", "--images", "photos"], "layer 2 should be 64 filters of 64x3x3"),
        (["vgg.safetensors", "vgg.safetensors", "--images", "photos"], "nothing is overwritten"),
        (["vgg.safetensors", "out.pth", "--images", "photos"], "should end in .safetensors"),
        (["vgg.safetensors", "out.safetensors", "--images", "none"], "none does not exist"),
        (["vgg.safetensors", "out.safetensors", "--images", "photos", "--how_many", "0"], "--how_many 0"),
    ],
)
def test_it_refuses(tmp_path, photos, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    first = {name: array for name, array in network("VGG19").items() if ".0." in name}
    write_arrays(tmp_path / "vgg.safetensors", first, {})
    with pytest.raises(UserError, match=message):
        normalise_encoder.main(words)
    assert not (tmp_path / "out.safetensors").exists()
