"""Networks of the MindSpore predecessor: its names lead to the same parameters."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.models.layers import InstanceNorm
from src.models.parameters import load_arrays, state_arrays
from src.models.pix2pixhd.discriminator import MultiscaleDiscriminator
from src.models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer
from src.systems.pix2pixhd.predecessor import check_norms, is_predecessor, predecessor_arrays
from src.utils.errors import UserError
from src.utils.weights import read_weights

NETWORKS = {
    "G global": lambda: GlobalGenerator(4, 3, 8, 2, 2),
    "G local": lambda: LocalEnhancer(4, 3, 4, 2, 2, 1, 2),
    "E": lambda: Encoder(3, 3, 8, 2),
    "D": lambda: MultiscaleDiscriminator(7, 8, 3, 2),
    "D without maps": lambda: MultiscaleDiscriminator(7, 8, 3, 2, features=False),
}


def theirs(cell):
    """Arrays as the predecessor named them, with the scale and offset of its instance norms."""
    arrays = state_arrays(cell)
    for name, part in cell.cells_and_names():
        if isinstance(part, InstanceNorm):
            start, _, place = name.rpartition(".")
            channels = arrays[f"{start}.{int(place) - 1}.bias"].size
            arrays[f"{name}.gamma"] = np.ones((1, channels, 1, 1), np.float32)
            arrays[f"{name}.beta"] = np.zeros((1, channels, 1, 1), np.float32)
    return {_their_name(name): array for name, array in arrays.items()}


def _their_name(name):
    name = name.replace("model1_1.", "model_local_downsample.").replace("model1_2.", "model_local_upsample.")
    if match := re.match(r"(scale\d_layer[123])\.(\d)\.(\w+)$", name):
        return f"{match[1]}.0.features.{match[2]}.{match[3]}"
    # convolution, activation, three groups of convolution, norm and activation, convolution
    places = {0: "0", **{2 + 3 * k + f: f"{2 + k}.features.{f}" for k in range(3) for f in range(3)}, 11: "5"}
    if match := re.match(r"(layer\d)\.(\d+)\.(\w+)$", name):
        return f"{match[1]}.{places[int(match[2])]}.{match[3]}"
    return name


@pytest.mark.parametrize("start", ["", "netX.", "loss_netG.netX.", "loss_netD.netX."])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network(tmp_path, name, start):
    cell, start = NETWORKS[name](), start.replace("X", name[0])
    stored = {f"{start}{key}": array for key, array in theirs(cell).items()}
    path = tmp_path / f"latest_net_{name[0]}.ckpt"
    ms.save_checkpoint([{"name": key, "data": Tensor(array)} for key, array in stored.items()], str(path))
    read = read_weights(path)
    assert is_predecessor(read)
    check_norms(name[0], read, str(path))
    arrays = predecessor_arrays(name[0], read)
    own = state_arrays(cell)
    assert arrays.keys() == own.keys()
    for key in own:
        np.testing.assert_array_equal(arrays[key], own[key])
    load_arrays(NETWORKS[name](), arrays)


def test_networks_and_optimizers_beside_it_are_left_out():
    one = np.ones(1, np.float32)
    whole = {"loss_netG.netG.model.1.weight": one, "loss_netG.netD.scale0_layer0.0.weight": one}
    whole |= {f"moment1.{name}": one for name in whole} | {"loss_netG.criterionVGG.vgg.slice1.0.weight": one}
    assert list(predecessor_arrays("G", whole)) == ["model.1.weight"]
    assert list(predecessor_arrays("D", whole)) == ["scale0_layer0.0.weight"]


def test_published_names_and_batch_norms_stay():
    cell = LocalEnhancer(4, 3, 4, 2, 2, 1, 2)
    published = state_arrays(cell)
    assert not is_predecessor(published) and predecessor_arrays("G", published).keys() == published.keys()
    norms = {f"model.2.{kind}": np.full(4, 3.0) for kind in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert predecessor_arrays("G", norms) == norms


@pytest.mark.parametrize("kind", ["gamma", "beta"])
def test_trained_instance_norms_are_refused(kind):
    arrays = theirs(NETWORKS["G global"]())
    arrays[f"model.2.{kind}"] = np.full((1, 8, 1, 1), 0.5, np.float32)
    with pytest.raises(UserError, match=rf"net_G\.ckpt has a trained instance norm \(model\.2\.{kind}\)"):
        check_norms("G", arrays, "net_G.ckpt")
