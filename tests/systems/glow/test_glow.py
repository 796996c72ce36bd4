"""The conditional flows as networks and as systems, tiny: likelihoods, round trips, training, and what is refused."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.glow.boundaries import BoundaryPyramid
from src.models.glow.condition_nets import ConditionNet
from src.models.parameters import load_arrays, state_arrays
from src.systems.glow.inputs import network_inputs
from src.systems.programs import load_config
from src.systems.registry import create_system
from src.training.steps import TrainStep
from src.utils.errors import UserError

OPTIONS = {
    "img_size": [12, 24],
    "n_block": 1,
    "n_flow": [2],
    "drift_freq": 1,
    "reg_factor": 1e-2,
    "lr": 1e-3,
}
#: further options of each model
OWN = {
    "fullglow": {"coupling_filters": 8},
    "cglow": {"x_hidden_size": 6, "x_hidden_channels": 4, "y_hidden_channels": 8, "cond_init": "fixed"},
    "dualglow": {"coupling_filters": 8},
}
SYSTEMS = {
    "fullglow": ("fullglow", {}),
    "fullglow_plain": ("fullglow", {"do_lu": False}),
    "fullglow_limited": ("fullglow", {"scale_limit": 2.0}),
    "fullglow_bmaps": ("fullglow", {"use_bmaps": True, "do_ceil": True}),
    "fullglow_two_levels": ("fullglow", {"img_size": [20, 20], "n_block": 2, "n_flow": [1]}),
    "fullglow_classes": ("fullglow", {"condition_nc": 10, "image_nc": 1}),
    "cglow": ("cglow", {"img_size": [16, 24], "n_block": 2, "n_flow": [1, 1]}),
    "cglow_classes": ("cglow", {"img_size": [8, 16], "condition_nc": 10, "image_nc": 1}),
    "dualglow": ("dualglow", {"n_block": 2, "n_flow": [1, 1]}),
}


def make(name, **changes):
    model, options = SYSTEMS[name]
    words = [f"--{key}={value}" for key, value in (OPTIONS | OWN[model] | options | changes).items()]
    return create_system(load_config([f"--model={model}", *words]))


def objective_of(system):
    return system.objective(system.network.size)


def sample_batch(system, n=3, seed=0):
    rng = np.random.default_rng(seed)
    height, width = system.network.size
    sides = {"condition": system.network.condition_channels, "image": system.network.channels}
    batch = {
        name: (rng.integers(0, 256, (n, c, height, width)) / 127.5 - 1).astype(np.float32) for name, c in sides.items()
    }
    if system.network.use_bmaps:
        batch["boundary"] = rng.integers(0, 2, (n, 3, height, width)).astype(np.float32)
    return batch | {"id": np.arange(n, dtype=np.int32)}


def ready(name, **changes):
    """A system after data-dependent initialisation, its weights moved so that nothing is zero by construction."""
    system = make(name, **changes)
    batch = sample_batch(system)
    objective_of(system).initialise(batch)
    rng = np.random.default_rng(1)
    for p in system.network.trainable_params():
        ops.assign(p, Tensor((p.asnumpy() + 0.02 * rng.standard_normal(p.shape)).astype(np.float32)))
    return system, batch


@pytest.mark.parametrize("name", SYSTEMS)
def test_latents_are_the_image_and_samples_are_samples(name):
    system, batch = ready(name)
    latents = system.encode(batch)
    assert [z.shape[1:] for z in latents] == system.network.latent_shapes
    assert sum(z[0].size for z in latents) == batch["image"][0].size
    np.testing.assert_allclose(system.decode(batch, latents), batch["image"], atol=1e-4)
    np.testing.assert_allclose(system.decode(batch, system.encode(batch)), batch["image"], atol=1e-4)
    one, again = system.sample(batch, 0.7, seed=3), system.sample(batch, 0.7, seed=3)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - system.sample(batch, 0.7, seed=3, index=1)).max() > 1e-3
    assert one.shape == batch["image"].shape
    assert np.abs(one).max() <= 1.0
    mode = system.sample(batch, 0.0, seed=3)
    np.testing.assert_array_equal(mode, system.sample(batch, 0.0, seed=4))
    alone = {key: value[2:] for key, value in batch.items()}
    np.testing.assert_allclose(system.sample(alone, 0.7, seed=3)[0], one[2], atol=1e-4)
    np.testing.assert_allclose(system.decode(alone, system.encode(alone)), alone["image"], atol=1e-4)
    np.testing.assert_allclose(system.bits_per_dimension(alone), system.bits_per_dimension(batch)[2:], rtol=1e-4)


@pytest.mark.parametrize("name", ["fullglow", "cglow", "dualglow"])
def test_log_likelihood_is_that_of_the_change_of_variables(name):
    """On a tiny picture the log-determinant equals that of the Jacobian of the latents by central differences."""
    size = {"cglow": [8, 8], "dualglow": [4, 4]}.get(name, [10, 10])
    system, batch = ready(name, img_size=size, n_block=1, n_flow=[1], image_nc=1)
    x_a, x_b, boundary = network_inputs(system.network, {k: v[:1] for k, v in batch.items()}, (0,))
    d, step = x_b.size, 1e-2
    log_det = system.network(*(Tensor(x) for x in (x_a, x_b, boundary)))[3].asnumpy()[0]
    shifts = step * np.eye(d, dtype=np.float32).reshape(d, *x_b.shape[1:])
    many = np.repeat(x_a, d, 0)
    far, near, back, far_back = (
        system.analyse(many, x_b + s * shifts)[2][0].reshape(d, d).astype(float) for s in (2, 1, -1, -2)
    )
    expected = np.linalg.slogdet((8 * (near - back) - (far - far_back)) / (12 * step))[1]
    assert abs(log_det - expected) < 5e-3


@pytest.mark.parametrize("name", ["fullglow", "fullglow_bmaps", "cglow", "dualglow"])
def test_the_target_depends_on_the_condition(name):
    system, batch = ready(name)

    def change(**changed):
        pairs = zip(system.encode(batch), system.encode(batch | changed), strict=True)
        return max(np.abs(a - b).max() for a, b in pairs)

    assert change() < 1e-6
    assert change(id=batch["id"] + 1) < 1e-6
    # without a path from the condition these are rounding, too
    if name != "dualglow":
        assert change(condition=-batch["condition"]) > 1e-3
    if system.network.use_bmaps:
        assert change(boundary=1 - batch["boundary"]) > 1e-4
    one, other = (system.sample(batch | {"condition": s * batch["condition"]}, 0.7) for s in (1, -1))
    assert np.abs(one - other).max() > 1e-4


def test_conditions_of_a_batch_are_taken_together(monkeypatch):
    """Four conditions pass every network that reads them in one call, as one does: nothing loops over samples."""
    system, batch = ready("fullglow_two_levels")
    four = sample_batch(system, 4)
    seen, compute = [], ConditionNet.compute

    def watched(self, x, weights, at=0):
        seen.append(x.shape[0])
        return compute(self, x, weights, at)

    monkeypatch.setattr(ConditionNet, "compute", watched)
    for n in (1, 4):
        seen.clear()
        system.sample({key: value[:n] for key, value in four.items()}, 0.7)
        # an actnorm and a mixing on each of two levels
        assert seen == [n] * 4
        seen.clear()
        system.bits_per_dimension({key: value[:n] for key, value in four.items()})
        assert seen == [n] * 4


def test_published_cglow_start_leaves_actnorms_and_mixings_blind():
    """With cond_init reference only couplings see the condition; with fixed, all three do."""

    def blind(cond_init):
        system = make("cglow", cond_init=cond_init)
        batch = sample_batch(system)
        objective = objective_of(system)
        groups = objective.groups(1)
        inputs = [Tensor(x) for x in objective.inputs(batch)]
        _, (found,), _ = objective.gradients(groups)(Tensor(1.0, ms.float32), *inputs)
        return {n: float(ops.abs(g).max().asnumpy()) == 0.0 for n, g in zip(groups[0].parameters, found, strict=True)}

    dead = blind("reference")
    assert all(dead[n] for n in dead if "x_Con" in n or "x_Linear.0" in n or "x_Linear.4.weight" in n)
    assert not any(dead[n] for n in dead if n.endswith("x_Linear.4.bias"))
    assert not any(is_dead for n, is_dead in blind("fixed").items() if n.endswith("x_Linear.4.weight"))


def step_of(system, batch):
    objective = objective_of(system)
    objective.initialise(batch)
    groups = objective.groups(1)
    return TrainStep(objective.gradients(groups), groups), objective


@pytest.mark.parametrize("memory", [{"recompute": False}, {}, {"reconstruct": True}])
@pytest.mark.parametrize("name", ["fullglow", "cglow", "dualglow"])
def test_training_lowers_the_bits(name, memory):
    system = make(name, **memory)
    batch = sample_batch(system)
    step, objective = step_of(system, batch)
    losses = [step(*(Tensor(x) for x in objective.inputs(batch, 0)))[0].asnumpy() for _ in range(6)]
    assert losses[0].shape == (len(objective.loss_names),)
    assert losses[-1][-1] < losses[0][-1] - 0.01
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", ["fullglow", "dualglow"])
def test_compiled_steps_equal_pynative(name, mode):
    system = make(name)
    batch = sample_batch(system)
    step, objective = step_of(system, batch)
    losses = np.array([step(*(Tensor(x) for x in objective.inputs(batch, 0)))[0].asnumpy() for _ in range(2)])
    np.testing.assert_allclose(losses[:, 0], OPTIONS["reg_factor"] * losses[:, 1] + losses[:, 2], rtol=1e-5)
    wanted = EXPECTED.setdefault(name, losses)
    np.testing.assert_allclose(losses[0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(losses[1], wanted[1], rtol=1e-4)
    assert losses[1, 2] < losses[0, 2]


#: losses of the mode that ran first, for the other one
EXPECTED: dict[str, np.ndarray] = {}


def test_initialisation_happens_once_and_is_state():
    system = make("fullglow")
    batch = sample_batch(system)
    objective_of(system).initialise(batch)
    before = state_arrays(system.network)
    flags = [name for name in before if name.endswith("initialized")]
    assert flags and all(before[name] == 1 for name in flags)
    twin = make("fullglow")
    load_arrays(twin.network, before)
    objective_of(twin).initialise({k: v if k == "id" else 0.5 * v for k, v in batch.items()})
    after = state_arrays(twin.network)
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_noise_follows_the_sample_and_the_step():
    system = make("fullglow")
    batch = sample_batch(system)
    objective = objective_of(system)
    first, second = (objective.inputs(batch, step) for step in (0, 1))
    assert np.abs(first[1] - second[1]).max() > 1e-4
    turned = {k: v[::-1] for k, v in batch.items()}
    np.testing.assert_array_equal(objective.inputs(turned, 0)[1], first[1][::-1])
    image = 0.5 * batch["image"] + 0.5
    assert (first[1] - image).min() >= 0 and (first[1] - image).max() <= 1 / 256 + 1e-6


def test_manipulations():
    system, batch = ready("fullglow_two_levels")
    a, b = ({k: v[i : i + 1] for k, v in batch.items()} for i in range(2))
    transferred = system.decode(b, system.encode(a))
    assert np.abs(transferred - a["image"]).max() > 1e-3
    np.testing.assert_allclose(system.resample(a, [], 1.0), a["image"], atol=1e-4)
    assert np.abs(system.resample(a, [0], 1.0) - a["image"]).max() > 1e-3
    with pytest.raises(UserError, match=r"level 5 is not one of 0\.\.1"):
        system.resample(a, [5])
    with pytest.raises(UserError, match="below zero"):
        system.sample(a, -0.1)


def test_boundary_pyramid_is_pillow():
    from PIL import Image

    maps = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 24)).astype(np.uint8)
    unit = (maps / 255.0).astype(np.float32)
    plain, binary = (BoundaryPyramid((16, 24), 2, ceil)(Tensor(unit)) for ceil in (False, True))
    for level, (height, width) in enumerate([(8, 12), (4, 6)]):
        want = np.stack([[np.array(Image.fromarray(c).resize((width, height))) for c in m] for m in maps])
        np.testing.assert_array_equal(np.rint(plain[level].asnumpy() * 255), want)
        np.testing.assert_array_equal(binary[level].asnumpy(), want > 0)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("fullglow", {"img_size": [64, 64], "n_block": 4, "n_flow": [1]}, "4x4 in the last of 4 blocks"),
        ("fullglow", {"img_size": [30, 32], "n_block": 2, "n_flow": [1]}, "cannot be halved 2 times"),
        ("fullglow", {"n_block": 2, "n_flow": [1, 1, 1]}, "3 entries for n_block 2"),
        ("fullglow", {"scale_limit": 2.0, "do_lu": False}, "add --do_lu True"),
        ("fullglow", {"precision": "fp16"}, "only in float32"),
        ("fullglow", {"img_size": [32]}, "not a height and a width"),
        ("cglow", {"img_size": [12, 24]}, "patches of 8x8"),
    ],
)
def test_options_that_cannot_be(name, changes, message):
    with pytest.raises(UserError, match=message):
        make(name, **changes)


def test_conditions_that_do_not_fit():
    system, batch = ready("fullglow_bmaps")
    small = {k: v[:, :, ::2] if v.ndim == 4 else v for k, v in batch.items()}
    with pytest.raises(UserError, match="condition of 3x6x24 .* takes 3x12x24"):
        system.sample(small)
    with pytest.raises(UserError, match="condition of 3x6x24"):
        objective_of(system).inputs(small)
    with pytest.raises(UserError, match="data has none"):
        system.sample({k: v for k, v in batch.items() if k != "boundary"})
    with pytest.raises(UserError, match="latents of shapes"):
        system.decode(batch, [z[:, :2] for z in system.encode(batch)])


@pytest.mark.parametrize("name", ["fullglow", "cglow"])
def test_weights_of_another_image_size_are_told(name):
    system = make(name)
    width = [24, 48] if name == "fullglow" else [16, 48]
    arrays = state_arrays(make(name, img_size=width).network)
    with pytest.raises(UserError, match=r"x.pt was trained at another image size.*--img_size"):
        system.published.check(system, "glow", arrays, "x.pt")
    system.published.check(system, "glow", state_arrays(system.network), "x.pt")


def test_what_is_not_finite_is_named():
    system, batch = ready("fullglow_plain")
    assert "every op is finite" in objective_of(system).explain_failure(batch)
    flow = system.network.left_glow.blocks[0].flows[1]
    ops.assign(flow.inv_conv.weight, ops.zeros_like(flow.inv_conv.weight))
    told = objective_of(system).explain_failure(batch)
    assert "block 0, flow 1, left InvertibleConv" in told and "singular" in told and "--do_lu True" in told
    system, batch = ready("fullglow")
    flow = system.network.left_glow.blocks[0].flows[0]
    ops.assign(flow.act_norm.scale, ops.zeros_like(flow.act_norm.scale))
    assert "block 0, flow 0, left ActNorm" in objective_of(system).explain_failure(batch)


@pytest.mark.parametrize("name", ["cglow", "dualglow"])
def test_advice_names_options_that_the_system_has(name):
    """What cannot be inverted is reported with a way out that this system's command line understands."""
    system, batch = ready(name)
    objective, told = objective_of(system), []
    for p in system.network.trainable_params():
        ops.assign(p, ops.full_like(p, np.nan))
    told.append(objective.explain_failure(batch))
    objective.drift_freq = 1
    for attempt in (lambda: objective.inputs(batch), lambda: system.encode(batch)):
        with pytest.raises(UserError) as error:
            attempt()
        told.append(str(error.value))
    words = {word for text in told for word in re.findall(r"--(\w+)", text)}
    assert "lr" in words and words <= {option.name for option in system.config.schema.order()}


def test_drift_stops_reconstruction():
    system, batch = ready("fullglow_plain", reconstruct=True, drift_freq=5)
    objective = objective_of(system)
    objective.inputs(batch, 0)
    inputs = network_inputs(system.network, batch)
    assert set(system.reconstruction_errors(inputs)) == {"block 0"}
    weight = system.network.left_glow.blocks[0].flows[0].inv_conv.weight
    bad = weight.asnumpy().copy()
    bad[0] = bad[1] + 1e-7
    ops.assign(weight, Tensor(bad))
    with pytest.raises(UserError, match="block 0 .* drift_tolerance"):
        objective.inputs(batch, 0)
    objective.inputs(batch, 1)


def test_what_cannot_be_rebuilt_at_all_stops_reconstruction_too():
    """NaN is not below the tolerance, whichever op or level it comes from."""
    system, batch = ready("fullglow_two_levels", reconstruct=True)
    # the last block makes exactly 0 of everything, and 0 / 0 of that
    flow = system.network.right_glow.blocks[1].flows[0]
    last, coupling = flow.act_norm.cond_net.last.linear, flow.coupling.net[4].conv
    for p in (last.weight, last.bias, coupling.weight, coupling.bias):
        ops.assign(p, ops.zeros_like(p))
    errors = system.reconstruction_errors(network_inputs(system.network, batch))
    assert errors["block 0"] < 1e-3 and errors["block 1"] == np.inf
    with pytest.raises(UserError, match="block 1 .* drift_tolerance"):
        objective_of(system).inputs(batch, 0)


def test_dualglow_trains_the_constants_of_its_border_as_the_published_network_does():
    """Nineteen weights with one gradient, their sum alone in the function: under Adam it moves 19 times as far."""
    system = make("dualglow", lr=1e-4)
    batch = sample_batch(system)
    step, objective = step_of(system, batch)
    ordinary, sums = objective.groups(1)
    assert sums.lr == pytest.approx(19e-4) and ordinary.lr == 1e-4
    # of each step of flow the shift behind its first convolution and the bias of its last, and the bias of both tops
    ends = [name.split("flows.2.net.")[-1] for name in sums.parameters]
    assert sorted(ends) == ["0.loc"] * 4 + ["4.conv.bias"] * 4 + [
        "glow.condition_glow.top.conv.bias", "glow.target_glow.top.conv.bias",
    ]  # fmt: skip
    assert not set(sums.parameters) & set(ordinary.parameters)
    assert set(sums.parameters) | set(ordinary.parameters) == set(system.trainable("glow"))
    before = {name: p.asnumpy().copy() for name, p in system.trainable("glow").items()}
    step(*(Tensor(x) for x in objective.inputs(batch, 0)))
    moved = {name: np.abs(p.asnumpy() - before[name]).max() for name, p in system.trainable("glow").items()}
    # Adam's first step is the rate itself wherever there is a gradient at all
    assert max(moved[name] for name in ordinary.parameters) == pytest.approx(1e-4, rel=1e-2)
    assert moved["glow.target_glow.top.conv.bias"] == pytest.approx(19e-4, rel=1e-2)


def test_fixed_factors_of_published_mixings_are_checked():
    """The log-determinant of an LU mixing takes its permutation and its signs for what they should be."""
    system = make("fullglow")
    arrays = state_arrays(system.network)
    for part, wrong in (("w_p", lambda a: 2 * a), ("w_p", lambda a: a[:, :1] @ a[:1]), ("s_sign", lambda a: 0 * a)):
        changed = dict(arrays)
        name = next(name for name in changed if name.endswith(part))
        changed[name] = wrong(changed[name])
        with pytest.raises(UserError, match=f"x.pt: {name} is not"):
            system.published.check(system, "glow", changed, "x.pt")
