"""hflow as a whole: options, passes, objective, initialisation, learning rates, average, and its bad input."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.flows import linalg
from src.models.hflow.average import Average
from src.models.hflow.initial import init_parameters
from src.models.hflow.network import HFlow
from src.models.hflow.objective import Objective, noise_size
from src.models.hflow.options import from_published
from src.models.hflow.system import HFlowSystem, flat_options, image_grid, latent_shares, model_options
from src.models.state import named_parameters, state_arrays
from src.training.steps import StepOptions, TrainStep
from src.utils.config import load_config
from src.utils.errors import UserError

SIZE = 16


def small_config(**changes):
    """The tiny preset with one level less: 16 and 8 pixels."""
    config = load_config([], "configs/hflow_tiny.yaml").to_dict()
    levels = len(config["resolutions"])
    for key, value in config.items():
        if isinstance(value, list) and len(value) == levels and not key.startswith("endblock_"):
            config[key] = value[1:]
    config |= {"channels": [3, 8], "num_layers": [4, 2], "added_noise_std": 0.0}
    return SimpleNamespace(**(config | changes))


def draw(n, seed=0):
    """Smooth pictures in [-1, 1], as the data set gives them."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.8, 0.8, (n, 3, 4, 4))
    fine = np.kron(coarse, np.ones((1, 1, 4, 4))) + 0.1 * rng.standard_normal((n, 3, SIZE, SIZE))
    levels = np.rint((fine.clip(-1, 1) + 1) * 127.5)
    return (levels / 127.5 - 1).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    """A system whose actnorms are fitted."""
    system = HFlowSystem(small_config())
    system.initialise({"image": draw(8)})
    return system


# -- options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "latents"), [("128", 74752), ("256", 271360), ("tiny", 4640)])
def test_presets_have_the_published_latents(preset, latents):
    options = model_options(load_config([], f"configs/hflow_{preset}.yaml"))
    assert sum(int(np.prod(shape)) for shape in options.latent_shapes) == latents


@pytest.mark.parametrize(
    ("preset", "sizes"),
    [("128", (9_179_284, 35_582_742, 29_013_410)), ("256", (10_425_236, 37_943_062, 29_013_410))],
)
def test_presets_have_the_published_parameters(preset, sizes):
    """73,775,436 and 77,381,708 in all, and the published sums of encoders, decoders and the rest."""
    counts = dict.fromkeys(("conv_e", "conv_d", "rest"), 0)
    for name, p in named_parameters(HFlow(model_options(load_config([], f"configs/hflow_{preset}.yaml")))).items():
        counts[next((kind for kind in ("conv_e", "conv_d") if f".{kind}" in name), "rest")] += p.size
    assert tuple(counts.values()) == sizes
    assert sum(sizes) == {"128": 73_775_436, "256": 77_381_708}[preset]


def test_published_settings_and_flat_keys_are_the_same_network():
    config = load_config([], "configs/hflow_128.yaml")
    options = model_options(config)
    flat = flat_options(options.published)
    assert {key: config.to_dict()[key] for key in flat} == flat
    top = options.published["endblock_settings"]
    upper = {k.upper(): v for k, v in options.published.items() if k != "endblock_settings"}
    upper["ENDBLOCK_SETTINGS"] = {k.upper(): v for k, v in top.items()} | {"---": ""}
    assert from_published({"MODEL_PARAMETERS": upper}) == options
    assert [level.splits for level in options.levels][0] == ("blocks", "blocks", "channels", "channels")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolutions": [96, 16]}, "the coarsest resolution is 16"),
        ({"resolutions": [96, 8]}, "resolution 8 cannot follow 96"),
        ({"num_layers": [3, 2]}, "3 flow steps cannot be shared"),
        ({"channels": [1, 8]}, "cannot be split by channels"),
        ({"flow_split_types": ["diagonal", "channels"]}, "'diagonal' is none of"),
        ({"flow_split_types": ["channels", "hblocks-lblocks-blocks-channels"], "num_layers": [2, 4]}, "hblocks needs"),
        ({"unet_n_downscales": [4, 1]}, "leave 1"),
        ({"prior_stds": [1.0]}, "prior_stds has 1 entries for 2"),
        ({"endblock_endres": 2}, "endres 2"),
        ({"endblock_channels": [31, -1]}, "parts"),
        ({"precision": "fp16"}, "precision fp16"),
    ],
)
def test_networks_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        HFlowSystem(small_config(**changes), training=False)


# -- passes --------------------------------------------------------------------------------------------------


def check_passes(system):
    runner = system.runner
    image = system.dequantise(draw(3, seed=5), None)
    latents, logdet = runner.inverse_with_logdet(image)
    assert [z.shape[1:] for z in latents] == system.options.latent_shapes
    back, forward_logdet = runner.forward_with_logdet(latents)
    np.testing.assert_allclose(back, image, atol=1e-4)
    assert logdet.shape == (3,)
    np.testing.assert_allclose(forward_logdet, -logdet, atol=1e-2)
    alone, alone_logdet = runner.inverse_with_logdet(image[1:2])
    for z, one in zip(latents, alone, strict=True):
        np.testing.assert_allclose(one[0], z[1], atol=1e-4)
    np.testing.assert_allclose(alone_logdet[0], logdet[1], atol=1e-2)


def test_image_to_latents_and_back(fitted):
    check_passes(fitted)


def test_level_logdet_is_that_of_the_jacobian(fitted):
    """The finest level alone, given everything coarser: a map of the image's size, measured by differences."""
    network = fitted.networks["F_ema"]
    level, y = network.blocks[0], draw(1)[:, :, :SIZE, :SIZE] * 2.0
    scales, top = network.encode(Tensor(draw(1) / 2))
    below, style = network.start(top)
    _, _, skip = network.blocks[1](scales[1], below, style, None)

    def flow(values):
        n = len(values)
        repeat = [Tensor(np.repeat(a.asnumpy(), n, 0)) for a in (scales[1], skip)]
        z, logdet, _ = level(Tensor(values), repeat[0], None, repeat[1])
        return z.asnumpy().reshape(n, -1).astype(np.float64), logdet.asnumpy()

    d, step = y.size, 1e-2
    shifts = step * np.eye(d, dtype=np.float32).reshape(d, *y.shape[1:])
    jacobian = (flow(y + shifts)[0] - flow(y - shifts)[0]) / (2 * step)
    np.testing.assert_allclose(flow(y)[1][0], np.linalg.slogdet(jacobian)[1], rtol=1e-2)


def test_determinants_of_a_level_come_from_one_call(fitted, monkeypatch):
    measured, real = [], linalg.logabsdet

    def watched(matrices):
        measured.append(matrices.shape)
        return real(matrices)

    monkeypatch.setattr(linalg, "logabsdet", watched)
    fitted.networks["F_ema"](Tensor(draw(1) / 2))
    # steps, channels, channels; the top's mixes are orthogonal
    assert measured == [(2, 8, 8), (4, 3, 3)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda z: z[:-1], "3 latents given, but this model has 4"),
        (lambda z: [z[0], z[1][:, :, :4], *z[2:]], "latent 1 has shape"),
        (lambda z: [z[0], z[1][:1], *z[2:]], "latent 1 has shape"),
    ],
)
def test_latents_that_do_not_fit(fitted, spoil, message):
    with pytest.raises(UserError, match=message):
        fitted.runner.forward(spoil(fitted.runner.draw(2, 1.0)))


def test_images_that_do_not_fit(fitted):
    with pytest.raises(UserError, match="takes"):
        fitted.runner.inverse(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(UserError, match="--resolution 16"):
        fitted.inputs({"image": np.zeros((1, 3, 32, 32), np.float32)})


def test_samples_follow_their_seed_and_the_top_has_deviation_one(fitted):
    runner = fitted.runner
    many, few = runner.draw(64, 0.5, seed=3), runner.draw(2, 0.5, seed=3)
    for a, b in zip(many, few, strict=True):
        np.testing.assert_array_equal(a[:2], b)
    assert abs(many[0].std() - 0.5) < 0.02
    assert abs(many[-1].std() - 1.0) < 0.05
    assert runner.draw(1, [0.0, 0.0, 0.0, 1.0])[0].max() == 0.0
    np.testing.assert_allclose(runner.sample(3, 0.5, 3, batch_size=2), runner.sample(3, 0.5, 3), atol=1e-5)
    with pytest.raises(UserError, match="2 deviations"):
        runner.draw(1, [1.0, 1.0])


# -- objective and training ----------------------------------------------------------------------------------


def test_objective_is_the_sum_of_its_parts(fitted):
    """Bits of each level from latents and log-determinants, by the definition, where all noise is zero."""
    network = fitted.networks["F_ema"]
    image = fitted.dequantise(draw(4), None)
    loss, bits = Objective(network)(Tensor(image), Tensor(np.zeros((4, fitted.noise_size), np.float32)))
    latents, logdets = network(Tensor(image))
    scales, top = network.encode(Tensor(image))
    parts = [*scales[1:], *np.split(top.asnumpy(), [4], 1)]
    noises = [level.noise for level in fitted.options.levels[:-1]] + list(fitted.options.top.noise)
    expected = []
    for i, (z, logdet) in enumerate(zip(latents, logdets, strict=True)):
        z = z.asnumpy().astype(np.float64)
        dim, entropy = z[0].size, 0.0
        if i:
            values = np.asarray(parts[i - 1], np.float64).reshape(4, -1)
            std = noises[i - 1] * values.std(0, ddof=1).mean()
            entropy = dim * (0.5 * np.log(2 * np.pi * std**2) + 0.5)
        log_prior = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum((1, 2, 3))
        expected.append(-(log_prior + logdet.asnumpy() + entropy) / (dim * np.log(2)))
    np.testing.assert_allclose(bits.asnumpy(), expected, atol=1e-4)
    weights = [level.weight for level in fitted.options.levels] + [1.0, 1.0]
    np.testing.assert_allclose(float(loss), np.mean(np.array(weights) @ np.array(expected)), rtol=1e-5)


def test_a_batch_of_one_has_a_finite_loss_and_gradient():
    system = HFlowSystem(small_config())
    groups = system.update_groups(1)
    inputs = [Tensor(a) for a in system.inputs({"image": draw(1)})]
    losses, gradients, _ = system.gradients(groups)(Tensor(1.0, ms.float32), *inputs)
    assert np.isfinite(losses.asnumpy()).all()
    assert all(np.isfinite(g.asnumpy()).all() for group in gradients for g in group)


def test_recomputing_gives_the_same_gradients():
    values = []
    for recompute in (False, True):
        system = HFlowSystem(small_config(recompute=recompute))
        inputs = [Tensor(a) for a in system.inputs({"image": draw(2)})]
        losses, gradients, _ = system.gradients(system.update_groups(1))(Tensor(1.0, ms.float32), *inputs)
        values.append([losses.asnumpy(), *(g.asnumpy() for group in gradients for g in group)])
    for one, other in zip(*values, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_the_level_that_fails_is_named():
    system = HFlowSystem(small_config())
    actnorm = system.networks["F"].blocks[1].blocks.steps[0].actnorm
    assert "All levels are finite" in system.explain_failure({"image": draw(2)})
    ops.assign(actnorm.an_bias, ops.full_like(actnorm.an_bias, float("nan")))
    assert "is bits_8." in system.explain_failure({"image": draw(2)})


def test_equal_images_in_a_batch_have_a_finite_gradient():
    system = HFlowSystem(small_config())
    image = np.repeat(draw(1), 2, 0)
    noise = np.random.default_rng(0).standard_normal((2, system.noise_size), np.float32)
    gradients = system.gradients(system.update_groups(1))
    _, values, _ = gradients(Tensor(1.0, ms.float32), Tensor(system.dequantise(image, None)), Tensor(noise))
    assert all(np.isfinite(g.asnumpy()).all() for group in values for g in group)


def test_encoders_learn_as_conditions_only():
    """Gradients reach an encoder through the decoders, not through the targets of its own level's flow."""
    system = HFlowSystem(small_config(loss_weights=[0.0, 1.0]))
    groups = {group.name: group for group in system.update_groups(1)}
    inputs = [Tensor(a) for a in system.inputs({"image": draw(4)})]
    _, gradients, _ = system.gradients(tuple(groups.values()))(Tensor(1.0, ms.float32), *inputs)
    norms = dict(zip(groups["encoders"].parameters, (float(g.norm()) for g in gradients[0]), strict=True))
    # the head of y_1 feeds level 0's decoder alone, and level 0 has no weight here
    assert norms["F.blocks.0.learned_upscaler.components.0.conv_e3.w"] == 0.0
    assert norms["F.blocks.1.learned_upscaler.components.0.conv_e1.w"] > 0.0


def test_strict_bound_conditions_on_what_it_models(fitted):
    network = fitted.networks["F_ema"]
    image = Tensor(fitted.dequantise(draw(4), None))
    noise = np.random.default_rng(0).standard_normal((4, fitted.noise_size), np.float32)
    other = noise.copy()
    other[:, fitted.noise_size // 2 :] = 0.0
    strict, published = Objective(network, strict=True), Objective(network)
    a, b = (strict(image, Tensor(n))[1].asnumpy() for n in (noise, other))
    np.testing.assert_array_equal(a, b)
    c, d = (published(image, Tensor(n))[1].asnumpy() for n in (noise, other))
    assert np.abs(c - d).max() > 1e-3
    assert np.abs(a - c).max() > 1e-3


def test_actnorms_are_fitted_to_the_first_batch(fitted):
    network = fitted.networks["F"]
    image, noise = (Tensor(a) for a in fitted.inputs({"image": draw(8)}))
    scales, top = network.encode(image)
    targets, inputs, _, _, style_top, _ = Objective(network).noisy(scales, top, noise)
    below, style = network.start(style_top)
    condition, (start_b, start_s, _, _), skip = network.blocks[1].condition(below, style, None)
    for level, target in ((1, targets[1]), (0, targets[0])):
        if level == 0:
            condition, (start_b, start_s, _, _), _ = network.blocks[0].condition(inputs[0], style, skip)
        x, _ = network.blocks[level].blocks.steps[-1].actnorm((target - start_b) * (-start_s).exp())
        np.testing.assert_allclose(x.asnumpy().mean((0, 2, 3)), 0.0, atol=1e-4)
        np.testing.assert_allclose(x.asnumpy().std((0, 2, 3), ddof=1), 1.0, atol=1e-3)
    assert not network.endblock_unified.endblock_uncond.steps[0].actnorm.an_scale.asnumpy().any()
    for name, value in state_arrays(fitted.networks["F_ema"]).items():
        np.testing.assert_array_equal(value, named_parameters(network)[name].asnumpy())


def test_published_learning_rates(fitted):
    fitted.config.learning_rate_cut_encoders = 60
    expected = {1: 5e-3, 12: 5e-3, 13: 5e-3 * 0.95, 14: 5e-3 * 0.95, 21: 3.87e-3, 61: 1.39e-3, 101: 5.0e-4}
    for epoch, flows in expected.items():
        encoders, decoders, rate = fitted.learning_rates(epoch)
        np.testing.assert_allclose(rate, flows, rtol=1e-2)
        np.testing.assert_allclose(decoders, 0.4 * rate)
        decays = round(np.log(rate / 5e-3) / np.log(0.95))
        assert encoders == pytest.approx(0.0 if epoch > 60 else 5e-4 * 0.92**decays)


@pytest.mark.parametrize(
    ("batch_size", "world", "steps"), [(4, 1, 4), (4, 2, 2), (4, 8, 1), (5, 1, 3), (3, 2, 3), (6, 2, 1), (32, 1, 1)]
)
def test_an_update_sees_about_sixteen_pictures(batch_size, world, steps):
    config = SimpleNamespace(samples_per_grad_eval=16, batch_size=batch_size)
    assert HFlowSystem.accumulation(SimpleNamespace(config=config), world) == steps


def test_groups_hold_every_parameter_once(fitted):
    groups = fitted.update_groups(1)
    assert [group.name for group in groups] == ["encoders", "decoders", "flows"]
    names = [name for group in groups for name in group.parameters]
    assert len(names) == len(set(names)) == len(named_parameters(fitted.networks["F"]))
    assert any("conv_d_const" in name for name in groups[1].parameters)
    assert any("skip_to_next" in name for name in groups[2].parameters)


def test_average_follows(mode):
    system = HFlowSystem(small_config())
    init_parameters(system.networks["F"], seed=1)
    before, source = (state_arrays(system.networks[name]) for name in ("F_ema", "F"))
    Average(system.networks["F"], system.networks["F_ema"])(Tensor(0.75, ms.float32))
    for name, value in state_arrays(system.networks["F_ema"]).items():
        np.testing.assert_allclose(value, 0.75 * before[name] + 0.25 * source[name], atol=1e-6)


def test_training_lowers_the_loss_and_stays_invertible():
    config = small_config(lr=1e-3, learning_rate_decoders=1e-3, learning_rate_encoders=1e-4)
    system = HFlowSystem(config)
    batch = {"image": draw(8), "id": np.arange(8)}
    system.initialise(batch)
    groups = system.update_groups(1)
    step = TrainStep(system.gradients(groups), groups, StepOptions(clip_norm=50.0, clip_jointly=True))
    losses = []
    for i in range(8):
        values, _, _ = step(*(Tensor(a) for a in system.inputs(batch, i)))
        losses.append(dict(zip(system.loss_names, values.asnumpy(), strict=True)))
        system.after_update(1)
    assert losses[-1]["loss"] < losses[0]["loss"] - 3.0
    assert losses[-1]["bits_per_dim"] < losses[0]["bits_per_dim"]
    check_passes(system)


def test_noise_is_a_function_of_step_and_pictures(fitted):
    batch = {"image": draw(2), "id": np.array([3, 4])}
    image, noise = fitted.inputs(batch, 7)
    again, same = fitted.inputs(batch, 7)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(noise, same)
    assert noise.shape == (2, noise_size(fitted.options))
    for other in (fitted.inputs(batch, 8), fitted.inputs(batch | {"id": np.array([5, 6])}, 7)):
        assert np.abs(other[1] - noise).max() > 1.0


def test_dequantisation_stays_in_its_bin(fitted):
    levels = np.arange(256, dtype=np.float32)
    picture = np.broadcast_to((levels / 127.5 - 1)[:, None], (256, 50))
    fitted.config.discretization_bits = 8
    inside = fitted.dequantise(picture, np.random.default_rng(0)) + 0.5 - levels[:, None] / 256
    assert inside.min() > -1e-6 and inside.max() < 1 / 256 + 1e-6 and abs(inside.mean() * 512 - 1) < 0.02
    np.testing.assert_allclose(fitted.dequantise(picture, None)[:, 0], levels / 256 - 0.5, atol=1e-7)
    fitted.config.discretization_bits = 5
    assert len(np.unique(fitted.dequantise(picture, None))) == 32
    fitted.config.discretization_bits = 8


def test_what_is_shown(fitted):
    shown = fitted.visuals({"image": draw(1)}, {})
    rows, columns = 5, 12
    assert shown["samples"].shape == (rows * (SIZE + 2), columns * (SIZE + 2), 3)
    assert shown["real_image"].shape == (SIZE, SIZE, 3)
    translated = fitted.translate({"image": draw(2)})["reconstructed_image"]
    np.testing.assert_allclose(translated, draw(2), atol=2e-2)


def test_image_grid():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[2] = 7
    grid = image_grid(images, 2)
    assert grid.shape == (8, 8, 3)
    assert (grid[5:7, 1:3] == 7).all() and (grid[4:, 4:] == 255).all() and (grid[1:3, 5:7] == 0).all()


@pytest.mark.parametrize("resolution", [128, 256])
def test_shares_of_large_pictures_stay_in_single_precision(resolution):
    shares = latent_shares([3 * resolution**2, 64], 3 * resolution**2)
    assert shares.dtype == np.float32 and shares.shape == (2, 1)
    np.testing.assert_allclose(shares[:, 0], [1.0, 64 / (3 * resolution**2)], rtol=1e-7)
