"""hflow's objective: bits by their definition, noise, groups and rates, initialisation, average, and failures."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.hflow.average import Average
from src.models.hflow.bound import Bound, Encodings, noise_size, spread
from src.models.hflow.initial import init_parameters
from src.models.parameters import named_parameters, state_arrays
from src.systems.hflow.bins import dequantise
from src.systems.hflow.objective import HFlowObjective, latent_fractions
from src.training.steps import StepOptions, TrainStep
from tests.systems.hflow.small import draw, objective_of


@pytest.fixture(scope="module")
def fitted():
    """An objective whose system's actnorms are fitted."""
    objective = objective_of()
    objective.initialise({"image": draw(8)})
    return objective


def gradients_of(objective, batch, noise=None):
    """Losses and every gradient of a first step, as numpy."""
    groups = objective.groups(1)
    inputs = objective.inputs({"image": batch}) if noise is None else (batch, noise)
    losses, gradients, _ = objective.gradients(groups)(Tensor(1.0, ms.float32), *map(Tensor, inputs))
    return losses.asnumpy(), [[g.asnumpy() for g in group] for group in gradients]


def test_bits_are_the_sum_of_their_parts(fitted):
    """Bits of each level from latents and log-determinants, by the definition, where all noise is zero."""
    system = fitted.system
    network, options = system.networks["F_ema"], system.options
    image = draw(4) / 2
    loss, bits = Bound(network)(Tensor(image), Tensor(np.zeros((4, fitted.noise_size), np.float32)))
    latents, logdets = network(Tensor(image))
    scales, top = network.encode(Tensor(image))
    parts = [*scales[1:], *np.split(top.asnumpy(), [4], 1)]
    noises = [level.noise for level in options.levels[:-1]] + list(options.top.noise)
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
    weights = [level.weight for level in options.levels] + [1.0, 1.0]
    np.testing.assert_allclose(float(loss), np.mean(np.array(weights) @ np.array(expected)), rtol=1e-5)


def test_given_spreads_make_images_independent_of_their_batch(fitted):
    """Without them the noise is relative to the batch, as published; the batch's own spreads change nothing."""
    network = fitted.system.networks["F_ema"]
    image, noise = fitted.inputs({"image": draw(4)})
    spreads = Tensor(np.array([spread(y).asnumpy() for y in Encodings(network)(Tensor(image))]))
    bound = Bound(network, strict=True)
    together, alone, own = (
        bound(*map(Tensor, arrays), *more)[1].asnumpy()
        for arrays, more in (((image, noise), (spreads,)), ((image[1:2], noise[1:2]), (spreads,)), ((image, noise), ()))
    )
    np.testing.assert_allclose(together[:, 1], alone[:, 0], atol=1e-4)
    np.testing.assert_allclose(together, own, atol=1e-4)


def test_a_batch_of_one_has_a_finite_loss_and_gradient():
    losses, gradients = gradients_of(objective_of(), draw(1))
    assert np.isfinite(losses).all()
    assert all(np.isfinite(g).all() for group in gradients for g in group)


def test_recomputing_gives_the_same_gradients():
    one, other = (gradients_of(objective_of(recompute=recompute), draw(2)) for recompute in (False, True))
    np.testing.assert_allclose(other[0], one[0], rtol=1e-4, atol=1e-5)
    for a, b in zip(one[1], other[1], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-5)


def test_equal_images_in_a_batch_have_a_finite_gradient():
    objective = objective_of()
    noise = np.random.default_rng(0).standard_normal((2, objective.noise_size), np.float32)
    _, gradients = gradients_of(objective, np.repeat(draw(1) / 2, 2, 0), noise)
    assert all(np.isfinite(g).all() for group in gradients for g in group)


def test_the_level_that_fails_is_named():
    objective = objective_of()
    actnorm = objective.system.networks["F"].blocks[1].blocks.steps[0].actnorm
    assert "All levels are finite" in objective.explain_failure({"image": draw(2)})
    ops.assign(actnorm.an_bias, ops.full_like(actnorm.an_bias, float("nan")))
    assert objective.explain_failure({"image": draw(2)}).endswith("is bits_8.")


def test_lost_orthogonality_stops_a_step_and_is_named():
    """Losses are not finite, so no weight moves, and the run stops with the reason."""
    objective = objective_of()
    for step in objective.system.networks["F"].endblock_unified.conditionals[0].steps:
        ops.assign(step.invconv.U, step.invconv.U * 12.0)
    losses, _ = gradients_of(objective, draw(2))
    assert np.isnan(dict(zip(objective.loss_names, losses, strict=True))["bits_1_1"])
    assert "channel mixes of bits_1_1 are not orthogonal any more" in objective.explain_failure({"image": draw(2)})


def test_encoders_learn_as_conditions_only():
    """Gradients reach an encoder through the decoders, not through the targets of its own level's flow."""
    objective = objective_of(loss_weights=[0.0, 1.0])
    _, gradients = gradients_of(objective, draw(4))
    norms = dict(zip(objective.groups(1)[0].parameters, (float(np.linalg.norm(g)) for g in gradients[0]), strict=True))
    # the head of y_1 feeds level 0's decoder alone, and level 0 has no weight here
    assert norms["F.blocks.0.learned_upscaler.components.0.conv_e3.w"] == 0.0
    assert norms["F.blocks.1.learned_upscaler.components.0.conv_e1.w"] > 0.0


def test_strict_bound_conditions_on_what_it_models(fitted):
    network = fitted.system.networks["F_ema"]
    image = Tensor(draw(4) / 2)
    noise = np.random.default_rng(0).standard_normal((4, fitted.noise_size), np.float32)
    other = noise.copy()
    other[:, fitted.noise_size // 2 :] = 0.0
    strict, published = Bound(network, strict=True), Bound(network)
    a, b = (strict(image, Tensor(n))[1].asnumpy() for n in (noise, other))
    np.testing.assert_array_equal(a, b)
    c, d = (published(image, Tensor(n))[1].asnumpy() for n in (noise, other))
    assert np.abs(c - d).max() > 1e-3
    assert np.abs(a - c).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "bounds"),
    [
        ({}, True),
        ({"augmentation_types": ["NOEUNET_NO_STYLE_NO_NORM", "NOISE"]}, False),
        ({"decoder_rel_noise": [0.0, 0.05]}, False),
        ({"endblock_style_rel_noises": [0.05, 0.0]}, False),
        # the coarsest level has no coarser neighbour whose noise it could name
        ({"augmentation_types": ["NOISE_NO_STYLE_NO_NORM", ""]}, True),
    ],
)
def test_without_noise_on_every_level_there_is_no_bound(changes, bounds):
    objective = objective_of(**changes)
    network = objective.system.networks["F_ema"]
    assert objective.system.bound.bounds is bounds and not Bound(network).bounds
    image, noise = objective.inputs({"image": draw(2)})
    assert np.isfinite(objective.system.bound(Tensor(image), Tensor(noise))[1].asnumpy()).all()


def test_actnorms_are_fitted_to_the_first_batch(fitted):
    network = fitted.system.networks["F"]
    image, noise = (Tensor(a) for a in fitted.inputs({"image": draw(8)}))
    scales, top = network.encode(image)
    targets, inputs, _, _, style_top, _ = Bound(network).noisy(scales, top, noise)
    below, style = network.start(style_top)
    condition, (start_b, start_s, _, _), skip = network.blocks[1].condition(below, style, None)
    for level, target in ((1, targets[1]), (0, targets[0])):
        if level == 0:
            condition, (start_b, start_s, _, _), _ = network.blocks[0].condition(inputs[0], style, skip)
        x, _ = network.blocks[level].blocks.steps[-1].actnorm((target - start_b) * (-start_s).exp())
        np.testing.assert_allclose(x.asnumpy().mean((0, 2, 3)), 0.0, atol=1e-4)
        np.testing.assert_allclose(x.asnumpy().std((0, 2, 3), ddof=1), 1.0, atol=1e-3)
    assert not network.endblock_unified.endblock_uncond.steps[0].actnorm.an_scale.asnumpy().any()
    for name, value in state_arrays(fitted.system.networks["F_ema"]).items():
        np.testing.assert_array_equal(value, named_parameters(network)[name].asnumpy())


def test_published_learning_rates(fitted):
    expected = {1: 5e-3, 12: 5e-3, 13: 5e-3 * 0.95, 14: 5e-3 * 0.95, 21: 3.87e-3, 61: 1.39e-3, 101: 5.0e-4}
    for epoch, flows in expected.items():
        encoders, decoders, rate = fitted.learning_rates(epoch)
        np.testing.assert_allclose(rate, flows, rtol=1e-2)
        np.testing.assert_allclose(decoders, 0.4 * rate)
        decays = round(np.log(rate / 5e-3) / np.log(0.95))
        assert encoders == pytest.approx(0.0 if epoch > 60 else 5e-4 * 0.92**decays)
        assert [group.lr for group in fitted.groups(epoch)] == [encoders, decoders, rate]
    # the trainer asks for groups when the phase changes, so every change of a rate must change it
    assert fitted.phase(13) == fitted.phase(14) != fitted.phase(12)
    assert fitted.phase(60) != fitted.phase(61)


@pytest.mark.parametrize(
    ("batch_size", "world", "steps"), [(4, 1, 4), (4, 2, 2), (4, 8, 1), (5, 1, 3), (3, 2, 3), (6, 2, 1), (32, 1, 1)]
)
def test_an_update_sees_about_sixteen_images(batch_size, world, steps):
    config = SimpleNamespace(samples_per_grad_eval=16, batch_size=batch_size)
    assert HFlowObjective.accumulation(SimpleNamespace(config=config), world) == steps


def test_groups_hold_every_parameter_once(fitted):
    groups = fitted.groups(1)
    assert [group.name for group in groups] == ["encoders", "decoders", "flows"]
    names = [name for group in groups for name in group.parameters]
    assert len(names) == len(set(names)) == len(named_parameters(fitted.system.networks["F"]))
    assert any("conv_d_const" in name for name in groups[1].parameters)
    assert any("skip_to_next" in name for name in groups[2].parameters)


def test_average_follows(mode):
    networks = objective_of().system.networks
    init_parameters(networks["F"], seed=1)
    before, source = (state_arrays(networks[name]) for name in ("F_ema", "F"))
    Average(networks["F"], networks["F_ema"])(Tensor(0.75, ms.float32))
    for name, value in state_arrays(networks["F_ema"]).items():
        np.testing.assert_allclose(value, 0.75 * before[name] + 0.25 * source[name], atol=1e-6)


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_average_stays_where_an_update_was_skipped(epoch):
    objective = objective_of()
    networks = objective.system.networks
    init_parameters(networks["F"], seed=1)
    before = state_arrays(networks["F_ema"])
    objective.after_update(epoch, Tensor(0.0, ms.float32))
    for name, value in state_arrays(networks["F_ema"]).items():
        np.testing.assert_array_equal(value, before[name])
    objective.after_update(epoch, Tensor(1.0, ms.float32))
    assert any(np.abs(value - before[name]).max() > 0 for name, value in state_arrays(networks["F_ema"]).items())


def test_training_lowers_the_loss_and_stays_invertible():
    objective = objective_of(lr=1e-3, learning_rate_decoders=1e-3, learning_rate_encoders=1e-4)
    batch = {"image": draw(8), "id": np.arange(8)}
    objective.initialise(batch)
    groups = objective.groups(1)
    step = TrainStep(objective.gradients(groups), groups, StepOptions(clip_norm=50.0, clip_jointly=True))
    losses = []
    for i in range(8):
        values = step(*(Tensor(a) for a in objective.inputs(batch, i)))[0]
        losses.append(dict(zip(objective.loss_names, values.asnumpy(), strict=True)))
        objective.after_update(1, step.finite)
    assert losses[-1]["loss"] < losses[0]["loss"] - 3.0
    assert losses[-1]["bits_per_dim"] < losses[0]["bits_per_dim"]
    image = draw(3, seed=5) / 2
    np.testing.assert_allclose(objective.system.decode(objective.system.encode(image)[0])[0], image, atol=1e-4)


def test_noise_is_a_function_of_step_and_images(fitted):
    batch = {"image": draw(2), "id": np.array([3, 4])}
    image, noise = fitted.inputs(batch, 7)
    again, same = fitted.inputs(batch, 7)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(noise, same)
    assert noise.shape == (2, noise_size(fitted.system.options))
    for other in (fitted.inputs(batch, 8), fitted.inputs(batch | {"id": np.array([5, 6])}, 7)):
        assert np.abs(other[1] - noise).max() > 1.0


def test_dequantisation_stays_in_its_bin():
    levels = np.arange(256, dtype=np.float32)
    image = np.broadcast_to((levels / 127.5 - 1)[:, None], (256, 50))
    inside = dequantise(image, 8, np.random.default_rng(0)) + 0.5 - levels[:, None] / 256
    assert inside.min() > -1e-6 and inside.max() < 1 / 256 + 1e-6 and abs(inside.mean() * 512 - 1) < 0.02
    coarse = dequantise(image, 5, np.random.default_rng(0)) + 0.5
    assert len(np.unique(np.floor(coarse * 32))) == 32
    np.testing.assert_array_equal(np.floor(coarse * 32)[:, 0], levels // 8)


@pytest.mark.parametrize("resolution", [128, 256])
def test_fractions_of_large_images_stay_in_single_precision(resolution):
    fractions = latent_fractions([3 * resolution**2, 64], 3 * resolution**2)
    assert fractions.dtype == np.float32 and fractions.shape == (2, 1)
    np.testing.assert_allclose(fractions[:, 0], [1.0, 64 / (3 * resolution**2)], rtol=1e-7)
