"""Hierarchy Flow: published numbers, the exact inverse, the losses, and what bad options get."""

import numpy as np
import pytest
from mindspore import Tensor, ops
from safetensors.numpy import save_file

from src.models.hierarchyflow.losses import AlignedStyleLoss
from src.models.hierarchyflow.networks import GATED, WEIGHT_TYPES, HierarchyCoupling, HierarchyFlow
from src.models.hierarchyflow.vgg import NormalisedVgg, load_normalised_vgg
from src.models.parameters import count_parameters, named_parameters
from src.systems.hierarchyflow.system import HierarchyFlowSystem, initialise
from src.systems.programs import EVAL, TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.errors import UserError

_TINY = {"model": "hierarchyflow", "out_channels": "[6,12]", "pad_size": 4, "seed": 3}


def trained(**changes):
    """A system for training, with the options that train.py has."""
    words = [f"--{key}={value}" for key, value in (_TINY | {"vgg_pre_trained": "random:1"} | changes).items()]
    return HierarchyFlowSystem(read_command(TRAIN, words)[1], training=True)


def translating(**changes):
    """A system for translation, with the options that eval.py has."""
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    return HierarchyFlowSystem(read_command(EVAL, words)[1], training=False)


def image(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def one_step(system, batch):
    objective = system.objective(batch["A"].shape[2:])
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups)
    return step(*[Tensor(array) for array in objective.inputs(batch)])


def perturbed(network, seed=0):
    """Weights that make every path count, with a learned number away from its start."""
    initialise(network, seed)
    rng = np.random.default_rng(seed)
    for name, parameter in named_parameters(network).items():
        if name.endswith("fixed_weight"):
            ops.assign(parameter, Tensor(np.float32(0.35)))
        elif "style_mlp" in name or "affine_net" in name:
            ops.assign(parameter, Tensor(rng.standard_normal(parameter.shape).astype(np.float32) * 0.5))
    return network


@pytest.mark.parametrize(
    ("out_channels", "total"), [([30, 120], 1_017_362), ([30], 683_881), ([12, 60, 120], 1_291_941)]
)
def test_counts_of_published_widths(out_channels, total):
    assert count_parameters(HierarchyFlow(out_channels=out_channels)) == total


@pytest.mark.parametrize("weight_type", WEIGHT_TYPES)
def test_exact_reverse_inverts_with_style_off(weight_type):
    network = perturbed(HierarchyFlow(3, [12, 24], weight_type, "exact", 6))
    content = image(2, 3, 18, 23)
    back = network.reconstruct(Tensor(content)).asnumpy()
    np.testing.assert_allclose(back, content, atol=1e-4)


def test_public_reverse_is_no_inverse():
    network = perturbed(HierarchyFlow(3, [12, 24], "fixed", "public", 6))
    content = image(1, 3, 18, 23)
    assert np.abs(network.reconstruct(Tensor(content)).asnumpy() - content).max() > 0.05


@pytest.mark.parametrize("reverse", ["exact", "public"])
@pytest.mark.parametrize("weight_type", WEIGHT_TYPES)
def test_weighted_sum_equals_the_recursion(weight_type, reverse):
    block = perturbed(HierarchyCoupling(3, 15, weight_type, reverse))
    x, code = Tensor(image(2, 3, 9, 8)), Tensor(image(2, 8, seed=1))
    wide, features, gate = (t.asnumpy() for t in block(x))
    f = np.split(features, 5, axis=1)
    forward = np.concatenate([x.asnumpy() - np.sum(f[: i + 1], axis=0) for i in range(5)], axis=1)
    np.testing.assert_allclose(wide, forward * gate[:, :, None, None], atol=1e-5)

    mean, std = np.split(block.style_mlp(code).asnumpy()[:, :, None, None], 2, axis=1)
    spread = np.sqrt(wide.var((2, 3), keepdims=True, ddof=1) + 1e-5)
    z = np.split(std * (wide - wide.mean((2, 3), keepdims=True)) / spread + mean, 5, axis=1)
    w = 0.35 if weight_type == "learned" else 0.5
    steps = [z[4] + f[4]]
    for i in (3, 2, 1, 0):
        if reverse == "exact":
            steps.append(w * steps[-1] + (1 - w) * z[i] + f[i])
        else:
            steps.append(w * (steps[-1] + z[i]) + (1 - w) * f[i])
    want = steps[-1]
    if reverse == "public" and weight_type in ("softmax", "sigmoid"):
        want = sum(a * t for a, t in zip(block.weight().asnumpy(), steps, strict=True))
    got = block.narrow_styled(Tensor(wide), Tensor(features), code).asnumpy()
    np.testing.assert_allclose(got, want, atol=2e-4)


def test_style_loss_drops_channels_per_sample():
    output, style = image(3, 10, 5, 6), image(3, 10, 5, 6, seed=1)
    loss = AlignedStyleLoss(0.8)
    together = float(loss(Tensor(output), Tensor(style)))
    alone = [float(loss(Tensor(output[i : i + 1]), Tensor(style[i : i + 1]))) for i in range(3)]
    assert together == pytest.approx(np.mean(alone), rel=1e-5)
    means = (output.mean((2, 3)) - style.mean((2, 3))) ** 2
    stds = [np.sqrt(p.var((2, 3), ddof=1) + 1e-5) for p in (output, style)]
    kept = means.argsort(1).argsort(1) < 8
    want = ((means + (stds[0] - stds[1]) ** 2) * kept).mean()
    assert together == pytest.approx(want, rel=1e-4)


def test_style_loss_keeps_every_channel_for_negative_k_and_for_one():
    output, style = Tensor(image(1, 10, 5, 6)), Tensor(image(1, 10, 5, 6, seed=1))
    losses = [float(AlignedStyleLoss(k)(output, style)) for k in (-1.0, 1.0, 0.5)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[2] < losses[0]


@pytest.mark.parametrize(("channels", "kept"), [(64, 51), (128, 102), (256, 204), (512, 409)])
def test_style_loss_counts_of_kept_channels(channels, kept):
    errors = Tensor(np.zeros((1, channels), np.float32))  # ties everywhere
    assert int(AlignedStyleLoss(0.8)._kept(errors).sum()) == kept


def test_vgg_halves_odd_sizes_upwards_and_counts_published_parameters():
    vgg = NormalisedVgg()
    assert sum(int(np.prod(p.shape)) for p in vgg.get_parameters()) == 3_505_740
    taps = vgg(Tensor(image(1, 3, 21, 30)))
    assert [t.shape[2:] for t in taps] == [(21, 30), (11, 15), (6, 8), (3, 4)]


def test_vgg_of_the_wrong_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="do not exist.*random:1"):
        load_normalised_vgg(str(tmp_path / "none.pth"))
    with pytest.raises(UserError, match="random:x.*whole number"):
        load_normalised_vgg("random:x")
    torchvision = tmp_path / "vgg19.safetensors"
    save_file({"0.weight": np.zeros((64, 3, 3, 3), np.float32)}, torchvision)
    with pytest.raises(UserError, match="is not the normalised VGG-19"):
        load_normalised_vgg(str(torchvision))


def test_vgg_with_another_first_layer_is_refused(tmp_path):
    from src.models.hierarchyflow.vgg import _BGR_MEAN, _random_weights

    arrays = {name: value.astype(np.float32) for name, value in _random_weights(1).items()}
    path = tmp_path / "vgg.safetensors"
    save_file(arrays, path)
    with pytest.raises(UserError, match="subtract the channel means"):
        load_normalised_vgg(str(path))
    save_file(arrays | {"0.bias": _BGR_MEAN}, path)
    loaded = load_normalised_vgg(str(path))
    np.testing.assert_array_equal(loaded.convs[9].weight.asnumpy(), arrays["29.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_channels": "[30,100]"}, "100 is not a multiple of 30"),
        ({"out_channels": "[4]"}, "4 is not a multiple of 3"),
        ({"out_channels": "[]"}, "out_channels is empty"),
        ({"weight_type": "softmin"}, "softmin"),
        ({"test_pairs": False}, "test_pairs False is not one of True"),
        ({"direction": "BtoA"}, "direction BtoA is not one of AtoB"),
    ],
)
def test_bad_options_are_explained(changes, message):
    with pytest.raises(UserError, match=message):
        translating(**changes)


@pytest.mark.parametrize(("pad_size", "smallest"), [(10, 11), (4, 9)])
def test_training_images_too_small_to_mirror_are_refused(pad_size, smallest):
    system = trained(pad_size=pad_size)
    batch = {name: np.zeros((1, 3, smallest, smallest), np.float32) for name in "AB"}
    assert all(np.isfinite(one_step(system, batch)[0].asnumpy()))
    with pytest.raises(UserError, match=f"40x{smallest - 1} are too small: {pad_size} pixels are mirrored"):
        system.objective((smallest - 1, 40))


@pytest.mark.parametrize("weight_type", WEIGHT_TYPES)
def test_weights_that_the_way_back_cancels_are_not_trained(weight_type):
    """AdaIN normalises what the last coupling's gates multiply; only the public formula uses them again."""
    trained(weight_type=weight_type, reverse="public").objective((12, 14))
    system = trained(weight_type=weight_type)
    if weight_type not in GATED:
        system.objective((12, 14))
        return
    with pytest.raises(UserError, match=f"weight_type {weight_type} multiplies .*--weight_type learned"):
        system.objective((12, 14))
    with pytest.raises(UserError, match="model.pth was trained with the published formula.*--reverse public"):
        system.published.check(system, "HF", {}, "model.pth")
    # runs that were trained so are translated as ever, and this is why no more should be
    network = perturbed(system.networks["HF"])
    images = [Tensor(image(1, 3, 12, 14, seed=i)) for i in range(2)]
    before = network(*images).asnumpy()
    gates = [p for name, p in named_parameters(network.blocks[1]).items() if name.startswith("weight.")]
    for parameter in gates:
        ops.assign(parameter, parameter + 1.0)
    assert gates
    np.testing.assert_allclose(network(*images).asnumpy(), before, atol=1e-3 * np.abs(before).max())


def test_translation_takes_any_two_sizes_and_stays_in_range():
    system = translating()
    content, style = image(1, 3, 21, 34) * 2 - 1, image(1, 3, 16, 18, seed=1) * 2 - 1
    output = system.translate({"A": content, "B": style})["output"]
    assert output.shape == content.shape
    assert output.min() >= -1 and output.max() <= 1
    shown = system.visuals({"A": content, "B": style}, {"output": output})
    assert {name: value.shape for name, value in shown.items()} == {
        "content": (21, 34, 3),
        "style": (16, 18, 3),
        "output": (21, 34, 3),
    }


def test_half_precision_and_recomputation_stay_near_the_plain_step():
    rng = np.random.default_rng(0)
    batch = {name: rng.uniform(-1, 1, (1, 3, 24, 28)).astype(np.float32) for name in "AB"}
    losses = {}
    for name, changes in (("plain", {}), ("half", {"precision": "fp16"}), ("again", {"recompute": True})):
        losses[name] = one_step(trained(**changes), batch)[0].asnumpy()
    np.testing.assert_allclose(losses["again"], losses["plain"], rtol=1e-5)
    np.testing.assert_allclose(losses["half"], losses["plain"], rtol=0.02)


def test_half_precision_still_inverts_exactly():
    system = translating(precision="fp16")
    content = image(1, 3, 18, 23)
    back = system.networks["HF"].reconstruct(Tensor(content)).asnumpy()
    np.testing.assert_allclose(back, content, atol=1e-4)
