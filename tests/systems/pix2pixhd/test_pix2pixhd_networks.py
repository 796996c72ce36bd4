"""pix2pixHD's networks: sizes, names, scales and initial weights are the published ones."""

import numpy as np
import pytest
from mindspore import Tensor

from src.models.parameters import count_parameters, init_weights, named_parameters, state_arrays
from src.models.pix2pixhd.discriminator import MultiscaleDiscriminator
from src.models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer, ResidualBlock
from src.models.vgg import VGG19
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from tests.systems.pix2pixhd.tiny_pix2pixhd import IN_RANGE, system_of


@pytest.mark.parametrize(
    "network, parameters",
    [
        (lambda: GlobalGenerator(36, 3), 182_546_755),
        (lambda: GlobalGenerator(39, 3), 182_556_163),
        (lambda: GlobalGenerator(3, 3), 182_443_267),
        (lambda: GlobalGenerator(35, 3), 182_543_619),
        (lambda: LocalEnhancer(36, 3), 182_857_059),
        (lambda: LocalEnhancer(39, 3), 182_871_171),
        (lambda: LocalEnhancer(3, 3), 182_701_827),
        (lambda: LocalEnhancer(36, 3, 16, n_local_enhancers=2), 182_947_699),
        (lambda: MultiscaleDiscriminator(39, num_D=1), 2_801_601),
        (lambda: MultiscaleDiscriminator(38, num_D=1), 2_800_577),
        (lambda: MultiscaleDiscriminator(6, num_D=1), 2_767_809),
        (lambda: MultiscaleDiscriminator(39, num_D=2), 5_603_202),
        (lambda: MultiscaleDiscriminator(39, num_D=3), 8_404_803),
        (lambda: Encoder(3), 788_803),
        (lambda: ResidualBlock(1024, "instance"), 18_876_416),
        (VGG19, 0),
    ],
)
def test_parameter_counts_are_the_published_ones(network, parameters):
    assert count_parameters(network()) == parameters


def test_parts_of_the_parameter_counts():
    enhancers = {
        channels: count_parameters(cell.model1_1) + count_parameters(cell.model1_2)
        for channels, cell in ((36, LocalEnhancer(36, 3)), (39, LocalEnhancer(39, 3)))
    }
    assert enhancers == {36: 319_715, 39: 324_419}
    double = LocalEnhancer(36, 3, 16, n_local_enhancers=2)
    assert count_parameters(double.model1_1) + count_parameters(double.model1_2) == 315_008
    assert count_parameters(double.model2_1) + count_parameters(double.model2_2) == 95_347
    # frozen, so not counted as trained
    assert sum(p.size for p in VGG19().get_parameters()) == 12_944_960


@pytest.mark.parametrize(
    "options, in_g, in_d",
    [
        ([], 36, 39),
        (["--no_instance"], 35, 38),
        (["--instance_feat"], 39, 39),
        (["--label_feat"], 39, 39),
        (["--label_feat", "--no_instance"], 38, 38),
        (["--instance_feat", "--feat_num", "5"], 41, 39),
        (["--label_nc", "0", "--no_instance"], 3, 6),
        (["--label_nc", "0", "--no_instance", "--input_nc", "1", "--output_nc", "4"], 1, 5),
    ],
)
def test_input_channels(options, in_g, in_d):
    config = load_config(["--no_vgg_loss", "--ngf", "4", "--ndf", "4", "--n_blocks_global", "1", *options])
    networks = Pix2PixHD(config).networks
    assert networks["G"].model[1].weight.shape[1] == in_g
    assert networks["D"].scale0_layer0[0].weight.shape[1] == in_d


def test_discriminator_maps_have_the_published_sizes():
    outputs = MultiscaleDiscriminator(1, ndf=1, num_D=3)(Tensor(np.zeros((1, 1, 1024, 2048), np.float32)))
    assert [[output.shape[2:] for output in scale] for scale in outputs] == [
        [(513, 1025), (257, 513), (129, 257), (130, 258), (131, 259)],
        [(257, 513), (129, 257), (65, 129), (66, 130), (67, 131)],
        [(129, 257), (65, 129), (33, 65), (34, 66), (35, 67)],
    ]
    assert [output.shape[1] for output in outputs[0]] == [1, 2, 4, 8, 1]


def test_discriminator_channels_stop_at_512():
    cell = MultiscaleDiscriminator(3, ndf=64, n_layers=5, num_D=1)
    widths = [p.shape[0] for name, p in named_parameters(cell).items() if name.endswith("weight")]
    assert widths == [64, 128, 256, 512, 512, 512, 1]


def test_discriminator_scales_count_from_the_coarsest_image():
    two, three = (MultiscaleDiscriminator(2, ndf=2, num_D=n) for n in (2, 3))
    for cell in (two, three):
        init_weights(cell)
    x = np.random.default_rng(0).standard_normal((1, 2, 64, 64)).astype(np.float32)
    small = two.downsample(Tensor(x))
    # initial weights follow from their names, so both networks have the same scale 0 and 1
    for fine, coarse in zip(three(Tensor(x))[1:], two(small), strict=True):
        for a, b in zip(fine, coarse, strict=True):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    # condition and image by themselves are the same as side by side
    apart = two(Tensor(x[:, :1]), Tensor(x[:, 1:]))
    for whole, parts in zip(two(Tensor(x)), apart, strict=True):
        for a, b in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())


def conv_names(*places):
    return {f"{place}.{kind}" for place in places for kind in ("weight", "bias")}


def test_parameter_names_are_the_published_ones():
    blocks = [f"model.{i}.conv_block.{j}" for i in range(16, 25) for j in (1, 5)]
    trunk = [f"model.{i}" for i in (1, 4, 7, 10, 13, 25, 28, 31, 34)] + blocks
    assert set(named_parameters(GlobalGenerator(36, 3))) == conv_names(*trunk, "model.38")
    front = ["model1_1.1", "model1_1.4"]
    back = [f"model1_2.{i}.conv_block.{j}" for i in range(3) for j in (1, 5)] + ["model1_2.3"]
    assert set(named_parameters(LocalEnhancer(36, 3))) == conv_names(*trunk, *front, *back, "model1_2.7")
    outer = [name.replace("model1", "model2") for name in (*front, *back, "model1_2.7")]
    double = LocalEnhancer(36, 3, n_local_enhancers=2)
    assert set(named_parameters(double)) == conv_names(*trunk, *front, *back, *outer)
    encoder = [f"model.{i}" for i in (1, 4, 7, 10, 13, 16, 19, 22, 25, 29)]
    assert set(named_parameters(Encoder(3))) == conv_names(*encoder)
    groups = conv_names(*[f"scale{k}_layer{j}.0" for k in range(2) for j in range(5)])
    assert set(named_parameters(MultiscaleDiscriminator(39))) == groups
    plain = conv_names(*[f"layer{k}.{i}" for k in range(2) for i in (0, 2, 5, 8, 11)])
    assert set(named_parameters(MultiscaleDiscriminator(39, features=False))) == plain


def test_two_enhancers_are_sums_over_a_pyramid(mode):
    cell = LocalEnhancer(3, 3, 2, 1, 1, n_local_enhancers=2, n_blocks_local=1)
    init_weights(cell, init_gain=0.3)
    x = Tensor(np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 40)).astype(np.float32))
    half = cell.downsample(x)
    y = cell.model(cell.downsample(half))
    assert y.shape == (1, 8, 8, 10)
    y = cell.model1_2(cell.model1_1(half) + y)
    assert y.shape == (1, 4, 16, 20)
    y = cell.model2_2(cell.model2_1(x) + y)
    got = cell(x).asnumpy()
    assert got.shape == (1, 3, 32, 40) and np.abs(got).max() <= IN_RANGE
    np.testing.assert_allclose(got, y.asnumpy(), atol=1e-5)


@pytest.mark.parametrize(
    "options, stride",
    [
        ([], 4),
        (["--netG", "local"], 8),
        (["--netG", "local", "--n_local_enhancers", "2"], 16),
        (["--netG", "light"], 4),
        (["--n_local_enhancers", "3"], 4),
        (["--instance_feat", "--n_downsample_E", "3"], 8),
        (["--instance_feat", "--n_downsample_E", "3", "--load_features"], 4),
    ],
)
def test_stride(options, stride):
    assert system_of(*options).stride == stride


def test_initial_weights_are_those_of_the_publication():
    cell = GlobalGenerator(8, 3, 16, 2, 2, norm="batch")
    init_weights(cell, seed=3)
    arrays = state_arrays(cell)
    weights = np.concatenate([a.ravel() for k, a in arrays.items() if k.endswith(".weight")])
    assert abs(weights.mean()) < 2e-4 and weights.std() == pytest.approx(0.02, rel=0.02)
    assert arrays["model.2.gamma"].mean() == pytest.approx(1, abs=0.02) and arrays["model.2.gamma"].std() > 0
    assert not arrays["model.2.beta"].any()
    bound = 1 / np.sqrt(8 * 49)
    assert 0.5 * bound < np.abs(arrays["model.1.bias"]).max() <= bound
    again, other = GlobalGenerator(8, 3, 16, 2, 2, norm="batch"), GlobalGenerator(8, 3, 16, 2, 2, norm="batch")
    init_weights(again, seed=3)
    init_weights(other, seed=4)
    assert all((state_arrays(again)[name] == array).all() for name, array in arrays.items())
    assert (state_arrays(other)["model.1.weight"] != arrays["model.1.weight"]).all()
    init_weights(cell, "constant")
    assert (cell.model[1].weight.asnumpy() == np.float32(0.001)).all()
    init_weights(cell, "xavier", 0.5)
    bound = 0.5 * np.sqrt(6 / ((8 + 16) * 49))
    assert 0.9 * bound < np.abs(cell.model[1].weight.asnumpy()).max() <= bound
