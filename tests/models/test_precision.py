"""Mixed precision and recomputation: what has 16 bits, what stays float32, and that gradients stay."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from safetensors.numpy import save_file

from src.models.layers import (
    AvgPool,
    InstanceNorm,
    MaxPool,
    NarrowConv,
    ReflectionPad,
    SameAvgPool,
    ZeroPad,
    norm_layer,
)
from src.models.parameters import load_arrays, named_parameters, state_arrays
from src.models.precision import set_precision
from src.models.recompute import Stage, recompute_stages
from src.models.vgg import VGG19, VGGLoss
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.training.steps import StepOptions, TrainStep

TINY = [
    "--label_nc", "5", "--ngf", "4", "--ndf", "4", "--nef", "2", "--n_blocks_global", "1", "--n_blocks_local", "1",
    "--n_downsample_global", "2", "--n_downsample_E", "2", "--no_vgg_loss", "--max_instances", "8", "--num_D", "2",
    "--init_gain", "0.2",
]  # fmt: skip


def system_of(*options, training=True):
    return Pix2PixHD(load_config([*TINY, *options]), training)


def batch_of(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "label": rng.integers(0, 5, (1, 1, 32, 32)).astype(np.int32),
        "inst": rng.integers(0, 8, (1, 1, 32, 32)).astype(np.int32),
        "image": rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32),
        "id": np.zeros(1, np.int32),
    }


def step_of(system, options=None):
    objective = system.objective((32, 32))
    groups = objective.groups(1)
    return TrainStep(objective.gradients(groups), groups, options), [Tensor(a) for a in objective.inputs(batch_of())]


def distance(got, want):
    """Norm of the difference over the norm."""
    return np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want.astype(np.float64))


@pytest.fixture
def random_vgg(tmp_path):
    """A file of VGG19's shapes with random weights that keep the size of what passes."""
    rng = np.random.default_rng(0)
    shapes = {name: p.shape for name, p in VGG19().parameters_and_names()}
    deviation = {name: np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.01 for name, shape in shapes.items()}
    file = tmp_path / "vgg.safetensors"
    save_file({n: (rng.standard_normal(s) * deviation[n]).astype(np.float32) for n, s in shapes.items()}, file)
    return str(file)


# -- layers ------------------------------------------------------------------------------------------------------


def test_norms_compute_in_float32():
    """Far from zero, statistics in fp16 would be lost: the sum of this channel is beyond its range."""
    x = (600 + np.random.default_rng(0).standard_normal((1, 2, 16, 16))).astype(np.float16)
    got = InstanceNorm(2)(Tensor(x))
    exact = x.astype(np.float64)
    want = (exact - exact.mean((2, 3), keepdims=True)) / np.sqrt(exact.var((2, 3), keepdims=True) + 1e-5)
    assert got.dtype == ms.float16
    assert np.abs(got.asnumpy() - want).max() < 2e-3


def test_pictures_leave_as_float32():
    narrow = NarrowConv(4, 3, 7)
    rng = np.random.default_rng(0)
    for parameter in narrow.get_parameters():
        ops.assign(parameter, Tensor(rng.standard_normal(parameter.shape).astype(np.float32)))
    x = Tensor(rng.standard_normal((1, 4, 10, 12)).astype(np.float32))
    want = narrow(x).asnumpy()
    set_precision(narrow, "fp16")
    got = narrow(x)
    assert got.dtype == ms.float32
    assert 0 < distance(got.asnumpy(), want) < 2e-3


def test_only_convolutions_change(mode):
    exact, low = (
        nn.SequentialCell([nn.Conv2d(3, 4, 3, has_bias=True), norm_layer("batch", 4), nn.ReLU(), nn.Conv2d(4, 2, 3)])
        for _ in range(2)
    )
    load_arrays(low, state_arrays(exact))
    set_precision(low, "fp16")
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32))
    want, got = exact.set_train(True)(x), low.set_train(True)(x)
    assert (want.dtype, got.dtype) == (ms.float32, ms.float16)
    assert list(state_arrays(low)) == list(state_arrays(exact))
    assert all(parameter.dtype == ms.float32 for parameter in low.get_parameters())
    assert 0 < distance(got.asnumpy(), want.asnumpy()) < 5e-3


@pytest.mark.parametrize(
    "layer", [AvgPool(), MaxPool(), ReflectionPad(1), SameAvgPool(), ZeroPad(1)], ids=lambda layer: type(layer).__name__
)
def test_layers_that_know_no_bfloat16_take_it(layer):
    x = np.random.default_rng(0).integers(-8, 8, (1, 2, 6, 8)).astype(np.float32)
    got = layer(Tensor(x).astype(ms.bfloat16))
    assert got.dtype == ms.bfloat16
    assert distance(got.astype(ms.float32).asnumpy(), layer(Tensor(x)).asnumpy()) < 4e-3


# -- the step ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("netG", ["global", "local", "light"])
def test_forward_in_fp16_is_close(netG):
    systems = [system_of("--netG", netG, "--precision", precision) for precision in ("fp32", "fp16")]
    want, got = (system.translate(batch_of())["synthesized_image"] for system in systems)
    assert got.dtype == np.float32
    assert 0 < distance(got, want) < 1e-2
    maps = []
    for system in systems:
        condition = system.encode(*(Tensor(batch_of()[key]) for key in ("label", "inst")))
        image = Tensor(batch_of()["image"]).astype(condition.dtype)
        maps.append(system.networks["D"](ops.concat((condition, image), 1)))
    for exact, low in zip(maps[0], maps[1], strict=True):
        for a, b in zip(exact, low, strict=True):
            assert b.dtype == ms.float16
            assert 0 < distance(b.asnumpy(), a.asnumpy()) < 1e-2


def test_vgg_loss_in_fp16_is_close(random_vgg):
    words = ("--no_vgg_loss", "False", "--vgg_pre_trained", random_vgg, "--precision")
    objectives = [system_of(*words, precision).objective((32, 32)) for precision in ("fp32", "fp16")]
    rng = np.random.default_rng(1)
    fake, real = (Tensor(rng.uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)) for _ in range(2))
    losses = []
    for objective in objectives:
        assert isinstance(objective.vgg_loss, VGGLoss)
        loss = objective.vgg_loss(fake, objective.vgg_loss.features(real))
        assert loss.dtype == ms.float32
        losses.append(float(loss.asnumpy()))
    assert losses[0] != losses[1] and abs(losses[1] / losses[0] - 1) < 5e-3


def test_fp16_step_finds_its_scale(mode):
    """A scale that overflows is halved, without a change of weights, until the step fits."""
    system = system_of("--precision", "fp16", "--instance_feat", "True")
    start = {name: state_arrays(cell) for name, cell in system.networks.items()}
    step, inputs = step_of(system, StepOptions(loss_scale=2.0**22, dynamic_loss_scale=True))
    losses, _, outputs = step(*inputs)
    assert float(step.bad_steps.asnumpy()) == 1
    assert all(
        (a == state_arrays(system.networks[n])[k]).all() for n, arrays in start.items() for k, a in arrays.items()
    )
    for _ in range(20):
        losses, _, outputs = step(*inputs)
        if float(step.bad_steps.asnumpy()) == 0:
            break
    assert 1 < float(step.scale.asnumpy()) < 2.0**22
    assert float(step.good_steps.asnumpy()) == 1
    for name, cell in system.networks.items():
        assert any((a != start[name][k]).any() for k, a in state_arrays(cell).items())
        assert all(p.dtype == ms.float32 for p in named_parameters(cell).values())
    for optimizer in step.optimizers:
        assert all(p.dtype == ms.float32 for p in optimizer.state().values())
    assert losses.dtype == outputs[0].dtype == ms.float32
    if mode == "pynative":
        reference, inputs = step_of(system_of("--instance_feat", "True"))
        want = reference(*inputs)[0].asnumpy()
        assert 0 < np.abs(losses.asnumpy() / want - 1).max() < 1e-2


def test_fp16_gradients_are_close():
    exact, low = (system_of("--precision", precision) for precision in ("fp32", "fp16"))
    gradients = []
    for system in (exact, low):
        step, inputs = step_of(system)
        gradients.append(step.gradients(Tensor(1024.0, ms.float32), *inputs)[1])
    for group, want_group in zip(gradients[1], gradients[0], strict=True):
        got, want = (np.concatenate([g.asnumpy().ravel() for g in part]) for part in (group, want_group))
        assert all(g.dtype == ms.float32 for g in group)
        assert 0 < distance(got, want) < 5e-2


# -- recomputation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, mode",
    [
        (("--netG", "global", "--instance_feat", "True"), "graph"),
        (("--netG", "global", "--instance_feat", "True"), "pynative"),
        (("--netG", "local"), "pynative"),
        (("--netG", "light", "--lambda_l1", "9"), "pynative"),
        (("--no_ganFeat_loss", "True"), "pynative"),
    ],
    indirect=["mode"],
)
def test_recomputation_changes_no_gradient(options, mode, random_vgg):
    words = (*options, "--no_vgg_loss", "False", "--vgg_pre_trained", random_vgg)
    plain, recomputed = system_of(*words), system_of(*words, "--recompute", "True")
    for name, cell in plain.networks.items():
        assert list(state_arrays(cell)) == list(state_arrays(recomputed.networks[name]))
    results = []
    for system in (plain, recomputed):
        step, inputs = step_of(system)
        results.append(step.gradients(Tensor(1.0, ms.float32), *inputs))
    assert (results[0][0].asnumpy() == results[1][0].asnumpy()).all()
    for group, want_group in zip(results[1][1], results[0][1], strict=True):
        assert all((g.asnumpy() == w.asnumpy()).all() for g, w in zip(group, want_group, strict=True))


def test_stages_repeat_in_the_backward_pass():
    calls = []

    class Counts(nn.Cell):
        def construct(self, x):
            calls.append(1)
            return ops.tanh(x)

    inner = nn.SequentialCell([nn.Conv2d(2, 2, 3), Counts(), nn.Conv2d(2, 2, 3), Counts()])
    x = Tensor(np.ones((1, 2, 4, 4), np.float32))
    gradient = ms.grad(lambda x: inner(x).sum(), 0)
    want = gradient(x).asnumpy()
    assert len(calls) == 2
    names = [name for name, _ in inner.parameters_and_names()]
    recompute_stages(inner)
    assert [type(cell) for cell in inner.cell_list] == [Stage, Stage, Stage]
    assert [name for name, _ in inner.parameters_and_names()] == names
    calls.clear()
    assert (gradient(x).asnumpy() == want).all()
    assert len(calls) == 4
