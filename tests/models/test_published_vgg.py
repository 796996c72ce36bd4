"""VGG19 from torchvision's names and from the model zoo's, which lack biases."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.models.parameters import load_arrays, state_arrays
from src.models.published_vgg import vgg19_arrays
from src.models.vgg import VGG19
from src.utils.weights import read_weights

FIRST, SECOND = np.ones((4, 3, 3, 3), np.float16), np.ones((5, 4, 3, 3), np.float16)


def test_the_zoos_file(tmp_path):
    """The whole file: layers with dense ones behind them and the momentum of training."""
    vgg = VGG19()
    weights = {name: array for name, array in state_arrays(vgg).items() if name.endswith(".weight")}
    stored = {f"layers.{name}": array for name, array in weights.items()}
    stored |= {f"moments.layers.{name}": np.zeros_like(array) for name, array in weights.items()}
    stored |= {"classifier.0.weight": np.zeros((3, 4), np.float32), "classifier.0.bias": np.zeros(3, np.float32)}
    path = tmp_path / "vgg19.ckpt"
    ms.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in stored.items()], str(path))
    arrays, bare = vgg19_arrays(read_weights(path))
    assert bare
    load_arrays(VGG19(), arrays)
    for name, array in weights.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert not arrays[name.replace("weight", "bias")].any()


@pytest.mark.parametrize("prefix", ["", "features.", "layers."])
def test_biases_stay(prefix):
    published = {f"{prefix}0.weight": FIRST, f"{prefix}0.bias": FIRST[:, 0, 0, 0], f"{prefix}2.weight": SECOND}
    arrays, bare = vgg19_arrays(published | {"classifier.0.weight": SECOND, "classifier.0.bias": SECOND})
    assert not bare and list(arrays) == ["0.weight", "0.bias", "2.weight"]
    assert arrays["0.bias"].all()


def test_zeros_have_the_type_of_the_weights():
    arrays, bare = vgg19_arrays({"layers.0.weight": FIRST, "layers.2.weight": SECOND})
    assert bare and arrays["0.bias"].dtype == np.float16
    assert arrays["0.bias"].shape == (4,) and arrays["2.bias"].shape == (5,)


@pytest.mark.parametrize("names", [(), ("model.1.weight",), ("layers.1.weight",), ("layers.first.weight",)], ids=str)
def test_other_networks(names):
    assert vgg19_arrays(dict.fromkeys(names, FIRST)) == ({}, False)
