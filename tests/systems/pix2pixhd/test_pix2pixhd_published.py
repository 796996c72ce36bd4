"""Published pix2pixHD weights: names, and the options that their shapes tell."""

import numpy as np
import pytest

from src.models.parameters import load_arrays, named_parameters, state_arrays
from src.models.pix2pixhd.discriminator import MultiscaleDiscriminator
from src.models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer
from src.systems.pix2pixhd.published import Pix2PixHDWeights
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.utils.errors import UserError


def test_published_batch_norm_loads():
    cell = GlobalGenerator(3, 3, 2, 1, 1, norm="batch")
    rng, published = np.random.default_rng(0), {}
    for name, parameter in named_parameters(cell).items():
        place, _, kind = name.rpartition(".")
        kind = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}.get(
            kind, kind
        )
        published[f"{place}.{kind}"] = rng.uniform(0.5, 1, parameter.shape).astype(np.float32)
        published[f"{place}.num_batches_tracked"] = np.array(3)
    assert {"model.2.weight", "model.2.running_var", "model.7.conv_block.2.bias"} <= published.keys()
    load_arrays(cell, Pix2PixHDWeights().names("G", published))
    np.testing.assert_array_equal(cell.model[2].gamma.asnumpy(), published["model.2.weight"])
    np.testing.assert_array_equal(cell.model[2].beta.asnumpy(), published["model.2.bias"])
    np.testing.assert_array_equal(cell.model[2].moving_mean.asnumpy(), published["model.2.running_mean"])
    np.testing.assert_array_equal(cell.model[2].moving_variance.asnumpy(), published["model.2.running_var"])
    np.testing.assert_array_equal(cell.model[1].bias.asnumpy(), published["model.1.bias"])


def published(cell):
    """The arrays of ``cell`` under NVIDIA's names."""
    theirs = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    return {
        f"{name.rpartition('.')[0]}.{theirs.get(name.rpartition('.')[2], name.rpartition('.')[2])}": array
        for name, array in state_arrays(cell).items()
    }


GLOBAL = {"netG": "global", "n_downsample_global": 3, "n_blocks_global": 2, "ngf": 4}
LOCAL = {
    "netG": "local",
    "n_downsample_global": 2,
    "n_blocks_global": 1,
    "ngf": 2,
    "n_local_enhancers": 2,
    "n_blocks_local": 3,
}


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(
    "network, cell, options",
    [
        ("G", lambda norm: GlobalGenerator(36, 3, 4, 3, 2, norm), GLOBAL | {"label_nc": 35, "output_nc": 3}),
        (
            "G",
            lambda norm: GlobalGenerator(39, 1, 4, 3, 2, norm),
            GLOBAL | {"label_nc": 35, "instance_feat": True, "feat_num": 3, "output_nc": 1},
        ),
        (
            "G",
            lambda norm: LocalEnhancer(3, 3, 2, 2, 1, 2, 3, norm),
            LOCAL | {"label_nc": 0, "input_nc": 3, "no_instance": True, "output_nc": 3},
        ),
        (
            "G",
            lambda norm: LocalEnhancer(35, 3, 2, 2, 1, 2, 3, norm),
            LOCAL | {"label_nc": 35, "no_instance": True, "output_nc": 3},
        ),
        (
            "D",
            lambda norm: MultiscaleDiscriminator(39, 4, 2, 3, norm),
            {"num_D": 3, "n_layers_D": 2, "ndf": 4, "no_ganFeat_loss": False, "label_nc": 35},
        ),
        (
            "D",
            lambda norm: MultiscaleDiscriminator(6, 4, 3, 2, norm, features=False),
            {"num_D": 2, "n_layers_D": 3, "ndf": 4, "no_ganFeat_loss": True}
            | {"label_nc": 0, "input_nc": 3, "no_instance": True},
        ),
        ("E", lambda norm: Encoder(3, 5, 2, 3, norm), {"nef": 2, "n_downsample_E": 3, "feat_num": 5, "output_nc": 3}),
    ],
)
def test_shapes_tell_the_options(network, cell, options, norm, capsys):
    assert Pix2PixHDWeights().options(network, published(cell(norm))) == options | {"norm": norm}
    # what the input channels were is not known, only their number
    assert ("is a guess" in capsys.readouterr().out) == (network != "E")


def test_the_options_build_the_network():
    arrays = published(LocalEnhancer(36, 3, 2, 2, 1, 2, 3, "batch"))
    options = Pix2PixHDWeights().options("G", arrays)
    system = Pix2PixHD(load_config([f"--{key}={value}" for key, value in options.items()]), training=False)
    load_arrays(system.networks["G"], Pix2PixHDWeights().names("G", arrays))


@pytest.mark.parametrize("network", "GDE")
def test_weights_of_something_else_are_refused(network):
    for arrays in ({}, {"features.0.weight": np.zeros((4, 3, 3, 3))}, {"model.1.weight": np.zeros(3)}):
        with pytest.raises(UserError, match=f"these weights are not network {network} of pix2pixHD"):
            Pix2PixHDWeights().options(network, arrays)


def test_statistics_of_old_instance_norms_are_left_out():
    """Instance norms of PyTorch before 0.4 saved statistics that nothing reads."""
    cell = GlobalGenerator(3, 3, 2, 1, 1)
    arrays = published(cell) | {f"model.2.{kind}": np.zeros(2) for kind in ("running_mean", "running_var")}
    load_arrays(cell, Pix2PixHDWeights().names("G", arrays))
    assert Pix2PixHDWeights().options("G", arrays)["norm"] == "instance"


def test_weights_of_the_predecessor_need_its_layers():
    cell = GlobalGenerator(3, 3, 2, 1, 1)
    arrays = {f"netG.{name}": array for name, array in state_arrays(cell).items()}
    norms = {"netG.model.2.gamma": np.ones((1, 2, 1, 1)), "netG.model.2.beta": np.zeros((1, 2, 1, 1))}
    weights, arrays = Pix2PixHDWeights(), arrays | norms
    load_arrays(cell, weights.names("G", arrays))
    assert weights.options("G", arrays)["layers"] == "predecessor"
    assert "layers" not in weights.options("G", state_arrays(cell))
    words = [f"--{key}={value}" for key, value in weights.options("G", arrays).items()]
    fitting, published = (Pix2PixHD(load_config([*words, *more]), False) for more in ([], ["--layers=published"]))
    weights.check(fitting, "G", arrays, "net_G.ckpt")
    weights.check(published, "G", state_arrays(cell), "net_G.pth")
    with pytest.raises(UserError) as error:
        weights.check(published, "G", arrays, "net_G.ckpt")
    assert str(error.value).startswith("net_G.ckpt comes from the MindSpore predecessor")
    assert str(error.value).endswith("pass --layers predecessor") and "\n" not in str(error.value)
    trained = arrays | {"netG.model.2.gamma": 2 * norms["netG.model.2.gamma"]}
    for system in (fitting, published):
        with pytest.raises(UserError, match=r"net_G.ckpt has a trained instance norm \(model\.2\.gamma\)"):
            weights.check(system, "G", trained, "net_G.ckpt")
