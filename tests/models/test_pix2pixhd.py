"""pix2pixHD: sizes, names, inputs, losses, options, features and the image pool."""

import random
import zipfile

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops
from safetensors.numpy import save_file

from src.models.losses import GANLoss
from src.models.pix2pixhd.discriminator import MultiscaleDiscriminator
from src.models.pix2pixhd.features import (
    FeatureClusters,
    cluster_features,
    instance_table,
    paint_regions,
    region_means,
)
from src.models.pix2pixhd.inputs import InputEncoder, boundary_map, instance_mean
from src.models.pix2pixhd.networks import Encoder, GlobalGenerator, LocalEnhancer, ResidualBlock
from src.models.pix2pixhd.system import Pix2PixHD
from src.models.pool import ImagePool, draw_pool_slots
from src.models.state import count_parameters, init_weights, load_arrays, named_parameters, state_arrays
from src.models.vgg import VGG19, VGGLoss, load_vgg
from src.training.steps import TrainStep
from src.utils.config import load_config
from src.utils.errors import UserError
from src.utils.tables import load_table

TINY = [
    "--label_nc", "5", "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_blocks_global", "1", "--n_blocks_local", "1",
    "--n_downsample_global", "2", "--n_downsample_E", "2", "--no_vgg_loss", "--max_instances", "8",
]  # fmt: skip
# MindSpore's tanh passes 1 by a few units in the last place
IN_RANGE = 1.0001


def system_of(*options, training=True):
    return Pix2PixHD(load_config([*TINY, *options]), training)


def batch_of(system, n=1, height=16, width=32, seed=0):
    """A random batch with the columns that the options need."""
    rng, config = np.random.default_rng(seed), system.config

    def pictures(channels):
        return rng.uniform(-1, 1, (n, channels, height, width)).astype(np.float32)

    blocks = rng.integers(0, 5, (n, 1, height // 8, width // 8)).repeat(8, 2).repeat(8, 3).astype(np.int32)
    batch = {"label": blocks if config.label_nc else pictures(config.input_nc)}
    if not config.no_instance:
        batch["inst"] = rng.integers(0, 8, (n, 1, height // 4, width // 4)).repeat(4, 2).repeat(4, 3).astype(np.int32)
    if config.load_features:
        batch["feat"] = pictures(config.feat_num)
    return batch | {"image": pictures(config.output_nc), "id": np.arange(n, dtype=np.int32)}


def weights_of(system):
    return {f"{net}.{k}": v for net, cell in system.networks.items() for k, v in state_arrays(cell).items()}


def one_step(system, batch, step=0):
    groups = system.update_groups(1)
    inputs = [Tensor(array) for array in system.inputs(batch, step)]
    losses, _, outputs = TrainStep(system.gradients(groups), groups)(*inputs)
    return dict(zip(system.loss_names, losses.asnumpy().tolist(), strict=True)), outputs[0].asnumpy()


# -- sizes and names ---------------------------------------------------------------------------------------------


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
    load_arrays(cell, Pix2PixHD.published_names("G", published))
    np.testing.assert_array_equal(cell.model[2].gamma.asnumpy(), published["model.2.weight"])
    np.testing.assert_array_equal(cell.model[2].beta.asnumpy(), published["model.2.bias"])
    np.testing.assert_array_equal(cell.model[2].moving_mean.asnumpy(), published["model.2.running_mean"])
    np.testing.assert_array_equal(cell.model[2].moving_variance.asnumpy(), published["model.2.running_var"])
    np.testing.assert_array_equal(cell.model[1].bias.asnumpy(), published["model.1.bias"])


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


# -- inputs ------------------------------------------------------------------------------------------------------


def boundary_model(ids):
    n, _, h, w = ids.shape
    result = np.zeros(ids.shape, np.float32)
    for b in range(n):
        for y in range(h):
            for x in range(w):
                for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                    if 0 <= y + dy < h and 0 <= x + dx < w and ids[b, 0, y, x] != ids[b, 0, y + dy, x + dx]:
                        result[b, 0, y, x] = 1
    return result


@pytest.mark.parametrize("shape", [(2, 1, 9, 12), (1, 1, 2, 2)])
def test_boundaries_against_a_loop(mode, shape):
    ids = np.random.default_rng(1).choice([0, 1, 26001, 65535], shape, p=[0.7, 0.1, 0.1, 0.1]).astype(np.int32)
    np.testing.assert_array_equal(boundary_map(Tensor(ids)).asnumpy(), boundary_model(ids))


def test_a_picture_of_one_instance_has_no_boundary():
    assert not boundary_map(Tensor(np.full((1, 1, 4, 4), 7, np.int32))).asnumpy().any()


def mean_model(features, ids):
    result = np.zeros(features.shape)
    for b in range(len(features)):
        for i in np.unique(ids[b]):
            where = ids[b, 0] == i
            for c in range(features.shape[1]):
                result[b, c][where] = features[b, c][where].mean()
    return result


def test_instance_means_against_a_loop(mode):
    rng = np.random.default_rng(2)
    features = rng.standard_normal((2, 3, 6, 7)).astype(np.float32)
    # the samples of a batch use the same ids; 3 and 5 occur nowhere
    ids = rng.choice([0, 1, 2, 4], (2, 1, 6, 7)).astype(np.int32)
    got = instance_mean(Tensor(features), Tensor(ids), 6).asnumpy()
    np.testing.assert_allclose(got, mean_model(features, ids), atol=1e-6)
    weight = rng.standard_normal((2, 3, 6, 7)).astype(np.float32)

    def loss(x):
        return (instance_mean(x, Tensor(ids), 6) * Tensor(weight)).sum()

    gradient = ms.grad(loss)(Tensor(features)).asnumpy()
    # averaging within regions is its own transpose
    np.testing.assert_allclose(gradient, mean_model(weight, ids), atol=1e-6)


def test_one_hot_labels_and_boundaries(mode):
    label = np.array([[[[0, 1, 2], [4, 4, 3]]]], np.int32)
    inst = np.array([[[[0, 0, 0], [0, 0, 9]]]], np.int32)
    got = InputEncoder(5, no_instance=False)(Tensor(label), Tensor(inst)).asnumpy()
    np.testing.assert_array_equal(got[0, :5], (label[0] == np.arange(5).reshape(5, 1, 1)).astype(np.float32))
    np.testing.assert_array_equal(got[0, 5], [[0, 0, 1], [0, 1, 1]])
    nothing = Tensor(np.zeros(1, np.float32))
    got = InputEncoder(5, no_instance=True)(Tensor(label), nothing).asnumpy()
    assert got.shape == (1, 5, 2, 3) and (got.sum(1) == 1).all()
    picture = np.random.default_rng(0).uniform(-1, 1, (1, 4, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(InputEncoder(0, no_instance=True)(Tensor(picture), nothing).asnumpy(), picture)


# -- losses and the step -----------------------------------------------------------------------------------------


def test_gan_losses(mode):
    x = np.array([[-200.0, -1.0, 0.0, 2.0, 200.0]], np.float32)
    with np.errstate(over="ignore"):
        for real in (True, False):
            got = GANLoss(True)(Tensor(x), real).asnumpy()
            np.testing.assert_allclose(got, ((x.astype(np.float64) - real) ** 2).mean(), rtol=1e-6)
            sign = -1 if real else 1
            want = np.logaddexp(0, sign * x.astype(np.float64)).mean()
            np.testing.assert_allclose(GANLoss(False)(Tensor(x), real).asnumpy(), want, rtol=1e-6)


def test_a_step_takes_the_published_losses_at_the_weights_before_any_update():
    system = system_of("--num_D", "2", "--n_layers_D", "2", "--lambda_feat", "7")
    batch = batch_of(system, n=2)
    condition = system.encode(Tensor(batch["label"]), Tensor(batch["inst"]))
    fake = system.translate(batch)["synthesized_image"]

    def maps(image):
        return [[o.asnumpy() for o in s] for s in system.networks["D"](ops.concat((condition, Tensor(image)), 1))]

    of_fake, of_real = maps(fake), maps(batch["image"])
    inner_pairs = [pair for f, r in zip(of_fake, of_real, strict=True) for pair in zip(f[:-1], r[:-1], strict=True)]
    want = {
        "G_GAN": sum(((s[-1] - 1) ** 2).mean() for s in of_fake),
        # 4 / (n_layers_D + 1) / num_D times lambda_feat
        "G_GAN_Feat": 7 * 4 / 3 / 2 * sum(np.abs(a - b).mean() for a, b in inner_pairs),
        "D_real": sum(((s[-1] - 1) ** 2).mean() for s in of_real),
        "D_fake": sum((s[-1] ** 2).mean() for s in of_fake),
    }  # fmt: skip
    got, output = one_step(system, batch)
    assert list(got) == list(want) == list(system.loss_names)
    for name in want:
        assert got[name] == pytest.approx(want[name], rel=1e-4), name
    np.testing.assert_allclose(output, fake, atol=1e-5)
    assert np.abs(system.translate(batch)["synthesized_image"] - fake).max() > 1e-4


VARIANTS = {
    "default": ([], "G_GAN G_GAN_Feat D_real D_fake"),
    "rgb": (["--label_nc", "0", "--no_instance"], "G_GAN G_GAN_Feat D_real D_fake"),
    "no_instance": (["--no_instance"], "G_GAN G_GAN_Feat D_real D_fake"),
    "instance_feat": (["--instance_feat"], "G_GAN G_GAN_Feat D_real D_fake"),
    "label_feat": (["--label_feat"], "G_GAN G_GAN_Feat D_real D_fake"),
    "label_feat_no_instance": (["--label_feat", "--no_instance"], "G_GAN G_GAN_Feat D_real D_fake"),
    "load_features": (["--instance_feat", "--load_features"], "G_GAN G_GAN_Feat D_real D_fake"),
    "batch": (["--norm", "batch"], "G_GAN G_GAN_Feat D_real D_fake"),
    "grey": (["--output_nc", "1", "--instance_feat"], "G_GAN G_GAN_Feat D_real D_fake"),
    "four_channels": (["--output_nc", "4"], "G_GAN G_GAN_Feat D_real D_fake"),
    "grey_to_four": (
        ["--label_nc", "0", "--no_instance", "--input_nc", "1", "--output_nc", "4"],
        "G_GAN G_GAN_Feat D_real D_fake",
    ),
    "bce": (["--no_lsgan"], "G_GAN G_GAN_Feat D_real D_fake"),
    "bce_alone": (["--no_lsgan", "--no_ganFeat_loss"], "G_GAN D_real D_fake"),
    "local": (["--netG", "local"], "G_GAN G_GAN_Feat D_real D_fake"),
    "two_enhancers": (["--netG", "local", "--n_local_enhancers", "2"], "G_GAN G_GAN_Feat D_real D_fake"),
    "pool": (["--pool_size", "2"], "G_GAN G_GAN_Feat D_real D_fake"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_trains_all_its_networks(name):
    options, losses = VARIANTS[name]
    system = system_of(*options)
    system.set_train(True)
    before = weights_of(system)
    batch = batch_of(system, n=2, height=32)
    got, fake = one_step(system, batch)
    assert " ".join(got) == losses and np.isfinite(list(got.values())).all()
    assert fake.shape == batch["image"].shape
    after = weights_of(system)
    moved = {key.split(".")[0] for key in before if (before[key] != after[key]).any()}
    assert moved == set(system.networks)
    # nothing stays behind: the biases in front of a norm get gradients of rounding errors, and so move, too
    assert not [k for k in before if k.endswith("weight") and (before[k] == after[k]).all()]
    system.set_train(False)
    if system.uses_features and not system.config.load_features:
        batch["feat"] = system.encode_image(batch["image"], system.inputs(batch)[2])
    translated = system.translate(batch)["synthesized_image"]
    assert translated.shape == batch["image"].shape and np.abs(translated).max() <= IN_RANGE
    shown = system.visuals(batch, system.training_outputs((Tensor(fake),)))
    assert list(shown) == ["input_label", "synthesized_image", "real_image"]
    assert all(picture.dtype == np.uint8 and picture.shape[:2] == (32, 32) for picture in shown.values())


def test_one_step_is_the_same_in_both_modes():
    results = []
    for mode in (ms.PYNATIVE_MODE, ms.GRAPH_MODE):
        ms.set_context(mode=mode)
        try:
            system = system_of("--instance_feat", "--pool_size", "1", "--num_D", "1", "--n_layers_D", "1")
            losses, fake = one_step(system, batch_of(system))
        finally:
            ms.set_context(mode=ms.PYNATIVE_MODE)
        results.append((np.array(list(losses.values())), fake, weights_of(system)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-5)
    for name, array in results[0][2].items():
        if name.endswith("weight"):
            np.testing.assert_allclose(array, results[1][2][name], atol=5e-5, err_msg=name)


def test_the_encoder_learns_only_through_the_generator():
    system = system_of("--instance_feat")
    groups = system.update_groups(1)
    assert [group.name for group in groups] == ["G", "D"]
    assert {name.split(".")[0] for name in groups[0].parameters} == {"G", "E"}
    assert {name.split(".")[0] for name in groups[1].parameters} == {"D"}
    assert all((group.lr, group.beta1, group.beta2) == (2e-4, 0.5, 0.999) for group in groups)


@pytest.mark.parametrize("enhancers", [1, 2])
def test_niter_fix_global_trains_the_outermost_enhancer_first(enhancers):
    options = ["--netG", "local", "--n_local_enhancers", str(enhancers), "--niter_fix_global", "3"]
    system = system_of(*options, "--instance_feat")
    for epoch in (1, 3):
        groups = system.update_groups(epoch)
        assert [group.name for group in groups] == ["G_enhancer", "D"]
        names = {name for name in groups[0].parameters if name.startswith("G.")}
        outermost = f"model{enhancers}_"
        assert names == {f"G.{n}" for n in named_parameters(system.networks["G"]) if n.startswith(outermost)}
        assert any(name.startswith("E.") for name in groups[0].parameters)
    groups = system.update_groups(4)
    assert [group.name for group in groups] == ["G", "D"]
    assert set(groups[0].parameters) == set(system.trainable("G", "E"))
    assert [group.name for group in system_of("--niter_fix_global", "3").update_groups(1)] == ["G", "D"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--label_nc", "0", "--label_feat"], "label_feat pools features over label ids"),
        (["--label_nc", "0", "--instance_feat"], "features need label maps"),
        (["--instance_feat", "--no_instance"], "instance_feat needs instance maps"),
        (["--load_features"], "add --instance_feat True"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(UserError, match=message):
        system_of(*options)


# -- VGG ---------------------------------------------------------------------------------------------------------


def test_vgg_weights_that_are_missing_or_of_something_else(tmp_path):
    with pytest.raises(UserError, match=r"vgg19.safetensors do not exist. Download .* --no_vgg_loss True"):
        Pix2PixHD(load_config([option for option in TINY if option != "--no_vgg_loss"]))
    path = str(tmp_path / "other.safetensors")
    save_file({"features.0.weight": np.zeros((3, 3, 3, 3), np.float32)}, path)
    with pytest.raises(UserError, match=r"other.safetensors holds no VGG19 of torchvision"):
        load_vgg(path)
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty.pth"):
        load_vgg(str(tmp_path / "empty.pth"))


def test_vgg_loss_takes_one_three_and_four_channels():
    vgg = VGG19()
    init_weights(vgg, init_gain=0.05)
    loss = VGGLoss(vgg)
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, (1, 4, 32, 32)).astype(np.float32) for _ in range(2))

    def distance(x, y):
        return float(loss(Tensor(x), loss.features(Tensor(y))).asnumpy())

    three = distance(a[:, :3], b[:, :3])
    maps = [(p.asnumpy(), q.asnumpy()) for p, q in zip(vgg(Tensor(a[:, :3])), vgg(Tensor(b[:, :3])), strict=True)]
    assert [p.shape[1:] for p, _ in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    want = sum(w * np.abs(p - q).mean() for w, (p, q) in zip(weights, maps, strict=True))
    assert three == pytest.approx(want, rel=1e-5)
    assert distance(a, b) == three
    assert distance(a[:, :1], b[:, :1]) == distance(a[:, [0, 0, 0]], b[:, [0, 0, 0]])
    assert distance(a, a) == 0


# -- image pool --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, batch", [(1, 1), (3, 1), (3, 2), (4, 3)])
def test_pool_against_a_list(mode, size, batch):
    pool, stored = ImagePool(size, (2, 3, 4)), []
    rng, swapped = np.random.default_rng(0), 0
    for step in range(10):
        new = rng.standard_normal((batch, 2, 3, 4)).astype(np.float32)
        slots = draw_pool_slots(size, batch, step, seed=5)
        shown = pool(Tensor(new), Tensor(slots)).asnumpy()
        for i in range(batch):
            if len(stored) < size:
                assert tuple(slots[i]) == (-1, len(stored))
                stored.append(new[i])
                want = new[i]
            elif slots[i, 0] < 0:
                assert tuple(slots[i]) == (-1, -1)
                want = new[i]
            else:
                assert slots[i, 0] == slots[i, 1]
                want, stored[slots[i, 0]] = stored[slots[i, 0]], new[i]
                swapped += 1
            np.testing.assert_array_equal(shown[i], want)
        np.testing.assert_array_equal(pool.images.asnumpy()[: len(stored)], stored)
    assert swapped


def test_pool_draws_depend_on_seed_and_step_alone():
    draws = np.concatenate([draw_pool_slots(50, 1, step, 1) for step in range(50, 1050)])
    np.testing.assert_array_equal(draws[7:8], draw_pool_slots(50, 1, 57, 1))
    assert (np.concatenate([draw_pool_slots(50, 1, step, 2) for step in range(50, 1050)]) != draws).any()
    used = draws[draws[:, 0] >= 0]
    assert 0.45 < len(used) / len(draws) < 0.55
    assert set(used[:, 0]) == set(range(50))


def test_pool_feeds_the_discriminator_alone():
    system = system_of("--pool_size", "1")
    first, second = (batch_of(system, seed=s) for s in (1, 2))
    system.inputs(first)
    groups = system.update_groups(1)
    gradients = system.gradients(groups)
    scale = Tensor(1.0, ms.float32)

    def losses(batch, slots):
        arrays = [*system.inputs(batch)[:-1], np.array([slots], np.int32)]
        return dict(zip(system.loss_names, gradients(scale, *map(Tensor, arrays))[0].asnumpy(), strict=True))

    plain = losses(second, (-1, -1))
    stored = losses(first, (-1, 0))
    swapped = losses(second, (0, 0))
    assert swapped["D_fake"] == pytest.approx(stored["D_fake"], rel=1e-5)
    assert swapped["D_fake"] != pytest.approx(plain["D_fake"], rel=1e-5)
    for name in ("G_GAN", "G_GAN_Feat", "D_real"):
        assert swapped[name] == pytest.approx(plain[name], rel=1e-5)
    # the image that was swapped in is now in the pool
    assert losses(first, (0, -1))["D_fake"] == pytest.approx(plain["D_fake"], rel=1e-5)


# -- features ----------------------------------------------------------------------------------------------------


def test_region_means_and_painting():
    rng = np.random.default_rng(3)
    feature_map, regions = rng.standard_normal((3, 6, 7)).astype(np.float32), rng.choice([0, 1, 3], (6, 7))
    means = region_means(feature_map, regions, 5)
    assert means.shape == (5, 3) and not means[[2, 4]].any()
    want = mean_model(feature_map[None], regions[None, None])[0]
    np.testing.assert_allclose(paint_regions(means, regions), want, atol=1e-6)
    assert paint_regions(means, regions).dtype == np.float32


def test_rows_of_the_feature_table():
    regions = np.array([[0, 0, 0, 0, 2, 2, 2, 2]] * 8)
    labels = np.array([[7, 7, 7, 7, 26, 26, 26, 26]] * 8)
    rows = instance_table(np.array([[0.5, -0.5], [9, 9], [0.25, 1]]), regions, labels)
    # 32 of 64 pixels are 16 units of a 32nd of the picture
    np.testing.assert_allclose(rows, [[7, 0.5, -0.5, 16], [26, 0.25, 1, 16]])


def table(*groups, share=1.0, seed=0):
    """Rows of ``features.npy``: ``(label, centre, count)`` with a little noise around the centre."""
    rng, rows = np.random.default_rng(seed), []
    for label, centre, count in groups:
        for _ in range(count):
            rows.append([label, *(np.array(centre) + rng.normal(0, 0.01, len(centre))), share])
    return np.array(rows)


def test_clusters_are_found_per_class_and_the_same_every_time():
    features = table((26, (0.5, 0.5), 20), (26, (-0.5, 0.5), 15), (26, (0, -0.7), 5), (7, (0.1, 0.1), 3))
    clusters = cluster_features(features, 3, seed=1)
    cars = clusters[clusters[:, 0] == 26, 1:]
    np.testing.assert_allclose(cars[np.lexsort(cars.round(1).T)], [[0, -0.7], [-0.5, 0.5], [0.5, 0.5]], atol=0.02)
    # no more centres than instances, which then are the centres
    roads = clusters[clusters[:, 0] == 7, 1:]
    np.testing.assert_allclose(roads, np.unique(features[-3:, 1:-1], axis=0))
    np.testing.assert_array_equal(cluster_features(features, 3, seed=1), clusters)
    # a class's clusters do not depend on which other classes there are
    np.testing.assert_array_equal(cluster_features(features[:40], 3, seed=1)[:, 1:], cars)


def test_small_instances_do_not_make_clusters():
    features = np.concatenate([table((7, (0.1, 0.1), 3), share=0.5), table((8, (0.2, 0.2), 3), share=0.51)])
    assert set(cluster_features(features, 2)[:, 0]) == {8}
    assert cluster_features(features[:3], 2).shape == (0, 3)


def test_equal_instances_and_a_single_cluster():
    features = np.array([[3, 0.5, 0.5, 1.0]] * 30)
    np.testing.assert_array_equal(cluster_features(features, 10), [[3, 0.5, 0.5]])
    features = table((3, (0.5, 0.5), 30))
    np.testing.assert_allclose(cluster_features(features, 1), [[3, *features[:, 1:-1].mean(0)]], rtol=1e-6)


def test_sampled_styles_are_one_a_region_and_zero_without_clusters():
    clusters = FeatureClusters(np.array([[26, 0.1, 0.2], [26, 0.3, 0.4], [26, -0.5, -0.6], [7, 0.9, 0.9]]))
    regions = np.repeat(np.arange(12), 2)[None].repeat(2, 0)
    labels = np.where(regions < 8, 26, np.where(regions < 10, 7, 11))
    styles = clusters.sample(regions, labels, [3, 4])
    assert styles.shape == (2, 2, 24) and styles.dtype == np.float32
    by_region = [np.unique(styles[:, regions == r], axis=1) for r in range(12)]
    assert all(values.shape == (2, 1) for values in by_region)
    values = np.concatenate(by_region, 1).T
    known = np.array([[0.1, 0.2], [0.3, 0.4], [-0.5, -0.6]], np.float32)
    assert all((known == value).all(1).any() for value in values[:8]) and len(np.unique(values[:8], axis=0)) > 1
    np.testing.assert_array_equal(values[8:10], np.float32([[0.9, 0.9]] * 2))
    assert not values[10:].any()
    np.testing.assert_array_equal(clusters.sample(regions, labels, [3, 4]), styles)
    assert (clusters.sample(regions, labels, [3, 5]) != styles).any()
    # a region keeps its style when others disappear
    part = clusters.sample(regions[:, :8], labels[:, :8], [3, 4])
    np.testing.assert_array_equal(part, styles[:, :, :8])


def test_tables_are_plain_arrays(tmp_path):
    path = tmp_path / "features.npy"
    with pytest.raises(UserError, match=r"features.npy does not exist: make it"):
        load_table(path, "make it")
    np.save(path, np.array({"label": 3}, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"features.npy is not a plain array .*pickled.*: make it"):
        load_table(path, "make it")
    for wrong in (np.zeros(3), np.zeros((2, 2), np.int64)):
        np.save(path, wrong)
        with pytest.raises(UserError, match=r"is not a table of features: make it"):
            load_table(path, "make it")
    for junk in (b"", b"\x93NUMPY", b"junk" * 100):
        path.write_bytes(junk)
        with pytest.raises(UserError, match=r"features.npy"):
            load_table(path, "make it")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match=r"features.npy"):
        load_table(path, "make it")
    np.save(path, np.array([[3, 0.5, 0.5]]))
    assert FeatureClusters.load(path, 2).by_label.keys() == {3}
    with pytest.raises(UserError, match=r"features.npy holds 2 features a style, feat_num is 3"):
        FeatureClusters.load(path, 3)


def test_translation_with_features_encodes_or_samples():
    system = system_of("--instance_feat", training=False)
    batch = batch_of(system, n=2)
    with pytest.raises(UserError, match=r"needs the clusters .* --use_encoded_image True"):
        system.translate(batch)
    system.clusters = FeatureClusters(np.array([[k, 0.2 * k, 0.0, -0.2 * k] for k in range(5)]))
    sampled = system.translate(batch, seed=1)["synthesized_image"]
    np.testing.assert_array_equal(system.translate(batch, seed=1)["synthesized_image"], sampled)
    # a sample's style follows its id, whatever it is batched with
    alone = {name: array[1:] for name, array in batch.items()}
    np.testing.assert_allclose(system.translate(alone, seed=1)["synthesized_image"], sampled[1:], atol=1e-5)
    system.config = system.config.replace(use_encoded_image=True)
    system.clusters = None
    encoded = system.translate(batch)["synthesized_image"]
    features = system.encode_image(batch["image"], batch["inst"])
    want = mean_model(system.networks["E"](Tensor(batch["image"])).asnumpy(), batch["inst"])
    np.testing.assert_allclose(features, want, atol=1e-5)
    given = system.translate(batch | {"feat": features})["synthesized_image"]
    np.testing.assert_allclose(encoded, given, atol=1e-5)
    del system.networks["E"]
    with pytest.raises(UserError, match="this checkpoint has no encoder"):
        system.translate(batch)


def test_the_encoder_sees_the_width_it_was_trained_at():
    system = system_of("--instance_feat", "--use_encoded_image", training=False)
    batch = batch_of(system, height=32, width=64)
    large = {name: a.repeat(2, 2).repeat(2, 3) if a.ndim == 4 else a for name, a in batch.items()}
    means = system.encode_means(batch)
    assert np.abs(system.encode_means(large) - means).max() > 1e-3
    system.config = system.config.replace(encode_load_size=64)
    np.testing.assert_allclose(system.encode_means(large), means, atol=1e-5)
    assert means.shape == (1, 8, 3)


@pytest.mark.parametrize("pretrained, width", [(("scale_width", 512), 512), (("none", 512), 0)])
def test_runs_with_precomputed_features_remember_the_width_of_the_encoder(pretrained, width):
    config = load_config(["--instance_feat", "--load_features"])
    earlier = {"resize_or_crop": pretrained[0], "load_size": pretrained[1]}
    completed = Pix2PixHD.complete_config(config, None, earlier)
    assert completed.encode_load_size == width
    assert Pix2PixHD.complete_config(config, completed.to_dict(), None).encode_load_size == width
    assert Pix2PixHD.complete_config(load_config([]), None, earlier).encode_load_size == 0


def test_a_run_with_precomputed_features_keeps_the_encoder_untrained():
    donor = system_of("--instance_feat")
    system = system_of("--instance_feat", "--load_features")
    assert set(system.networks) == {"G", "D"}
    system.adopt_pretrained({"E": state_arrays(donor.networks["E"])}, donor.config.to_dict())
    assert set(system.saved_networks) == {"G", "D", "E"} and not system.trainable("E")
    assert not [name for name in system.update_groups(1)[0].parameters if name.startswith("E.")]


def test_mindspore_draws_do_not_enter():
    """Everything random is drawn by seed and name: the global generators change nothing."""
    results = []
    for seed in (1, 2):
        ms.set_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        system = system_of("--instance_feat", "--pool_size", "1", "--seed", "9")
        results.append((one_step(system, batch_of(system), step=3)[0], weights_of(system)))
    assert results[0][0] == results[1][0]
    assert all((results[0][1][name] == results[1][1][name]).all() for name in results[0][1])
