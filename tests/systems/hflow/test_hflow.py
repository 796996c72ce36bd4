"""hflow as a system: images to latents and back, determinants, samples, what is shown, and bad input."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from src.imaging.images import unit_to_image
from src.models.flows import linalg
from src.systems.hflow.system import HFlowSystem, image_grid
from src.utils.errors import UserError
from tests.systems.hflow.small import SIZE, draw, objective_of, small_config


@pytest.fixture(scope="module")
def fitted():
    """A system whose actnorms are fitted."""
    objective = objective_of()
    objective.initialise({"image": draw(8)})
    return objective.system


def test_image_to_latents_and_back(fitted):
    image = draw(3, seed=5) / 2
    latents, logdet = fitted.encode(image)
    assert [z.shape[1:] for z in latents] == fitted.options.latent_shapes
    back, forward_logdet = fitted.decode(latents)
    np.testing.assert_allclose(back, image, atol=1e-4)
    assert logdet.shape == (3,)
    np.testing.assert_allclose(forward_logdet, -logdet, atol=1e-2)
    alone, alone_logdet = fitted.encode(image[1:2])
    for z, one in zip(latents, alone, strict=True):
        np.testing.assert_allclose(one[0], z[1], atol=1e-4)
    np.testing.assert_allclose(alone_logdet[0], logdet[1], atol=1e-2)


def test_every_grey_level_survives_its_latents(fitted):
    """Reconstructed images are the images, in all 256 values, as files show them."""
    values = np.arange(768).reshape(3, SIZE, SIZE) % 256
    image = (values / 127.5 - 1).astype(np.float32)[None]
    result = fitted.translate({"image": image})["reconstructed_image"]
    np.testing.assert_array_equal(unit_to_image(result[0]), values.transpose(1, 2, 0))


@pytest.mark.parametrize("split", ["spatial", "blocks", "lblocks", "hblocks", "vhalfs", "hhalfs", "channels"])
def test_a_level_of_one_split_is_invertible(split):
    objective = objective_of(flow_split_types=[split, "channels"])
    objective.initialise({"image": draw(4)})
    system, image = objective.system, draw(2, seed=5) / 2
    steps = system.networks["F_ema"].blocks[0].blocks.steps
    # nothing may pass because it starts at zero
    for i, p in enumerate(p for step in steps for p in step.coupling.get_parameters()):
        ops.assign(p, p + Tensor(0.1 * np.random.default_rng(i).standard_normal(p.shape).astype(np.float32)))
    latents, logdet = system.encode(image)
    back, forward_logdet = system.decode(latents)
    np.testing.assert_allclose(back, image, atol=1e-4)
    np.testing.assert_allclose(forward_logdet, -logdet, atol=1e-2)


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


def test_mixes_that_are_not_orthogonal_any_more_are_said():
    """Twelve times their start, the top's matrices leave the range of the exponential: no latent or image is right."""
    system = HFlowSystem(small_config(), training=False)
    assert system.lost_orthogonality("F_ema") == ""
    latents, _ = system.encode(draw(1) / 2)
    for step in system.networks["F_ema"].endblock_unified.conditionals[0].steps:
        ops.assign(step.invconv.U, step.invconv.U * 12.0)
    for call in (lambda: system.encode(draw(1) / 2), lambda: system.decode(latents), lambda: system.sample(1)):
        with pytest.raises(UserError, match="channel mixes of bits_1_1 are not orthogonal any more"):
            call()


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
        fitted.decode(spoil(fitted.draw(2, 1.0)))


def test_images_that_do_not_fit(fitted):
    for call in (lambda x: fitted.encode(x), lambda x: fitted.objective((SIZE, SIZE)).inputs({"image": x})):
        with pytest.raises(UserError, match="takes 3x16x16: build the data set with --resolution 16"):
            call(np.zeros((1, 3, 32, 32), np.float32))


def test_samples_follow_their_seed_and_the_top_has_standard_deviation_one(fitted):
    many, few = fitted.draw(64, 0.5, seed=3), fitted.draw(2, 0.5, seed=3)
    for a, b in zip(many, few, strict=True):
        np.testing.assert_array_equal(a[:2], b)
    assert abs(many[0].std() - 0.5) < 0.02
    assert abs(many[-1].std() - 1.0) < 0.05
    assert fitted.draw(1, [0.0, 0.0, 0.0, 1.0])[0].max() == 0.0
    np.testing.assert_allclose(fitted.sample(3, 0.5, 3, batch_size=2), fitted.sample(3, 0.5, 3), atol=1e-5)
    with pytest.raises(UserError, match="2 standard deviations"):
        fitted.draw(1, [1.0, 1.0])


def test_what_is_shown(fitted):
    shown = fitted.visuals({"image": draw(1)}, {})
    rows, columns = 5, 12
    assert shown["samples"].shape == (rows * (SIZE + 2), columns * (SIZE + 2), 3)
    assert shown["real_image"].shape == (SIZE, SIZE, 3)
    translated = fitted.translate({"image": draw(2)})["reconstructed_image"]
    np.testing.assert_allclose(translated, draw(2), atol=2e-4)


def test_image_grid():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[2] = 7
    grid = image_grid(images, 2)
    assert grid.shape == (8, 8, 3)
    assert (grid[5:7, 1:3] == 7).all() and (grid[4:, 4:] == 255).all() and (grid[1:3, 5:7] == 0).all()


def test_evaluation_has_the_average_alone():
    system = HFlowSystem(small_config(), training=False)
    assert list(system.networks) == ["F_ema"]
    assert all(p.name.startswith("F_ema.") for p in system.networks["F_ema"].get_parameters())
