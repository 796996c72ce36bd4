"""CycleGAN: published numbers of both families, what one step trains, the semantic branch, what bad options get."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from safetensors.numpy import save_file

from src.models.cyclegan.networks import PatchDiscriminator, ResnetGenerator, UpsampleConv
from src.models.cyclegan.segmenter import label_loss, semantic_loss
from src.models.diffaug import DiffAugment, draw_augmentation
from src.models.layers import conv
from src.models.parameters import count_parameters, init_weights, named_parameters, state_arrays
from src.systems.cyclegan.published import CycleGANWeights
from src.systems.cyclegan.system import CycleGAN
from src.systems.programs import EVAL, TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.errors import UserError

_TINY = {"model": "cyclegan", "ngf": 4, "ndf": 4, "n_residual_blocks": 1, "semantic_nc": 5, "semantic_width": 4}


def trained(**changes):
    """A system for training, with the options that train.py has."""
    words = [f"--{key}={value}" for key, value in (_TINY | {"pool_size": 0} | changes).items()]
    return CycleGAN(read_command(TRAIN, words)[1], training=True)


def translating(**changes):
    """A system for translation, with the options that eval.py has."""
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    return CycleGAN(read_command(EVAL, words)[1], training=False)


def batch_of(n=1, height=32, width=36):
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, (n, 3, height, width)).astype(np.float32) for _ in range(2))
    return {"A": a, "B": b, "label_A": rng.integers(0, 6, (n, 1, height, width)).astype(np.int32)}


def one_step(system, batch, step=0, objective=None):
    objective = objective or system.objective(batch["A"].shape[2:])
    groups = objective.groups(1)
    inputs = [Tensor(array) for array in objective.inputs(batch, step)]
    train = TrainStep(objective.gradients(groups), groups)
    losses, _, outputs = train(*inputs)
    return dict(zip(objective.loss_names, losses.asnumpy(), strict=True)), objective.outputs(outputs)


def test_published_sizes():
    assert count_parameters(ResnetGenerator()) == 11_378_179
    for patch in (94, 70):
        assert count_parameters(PatchDiscriminator(patch=patch)) == 2_764_737


@pytest.mark.parametrize(("patch", "size"), [(94, (4, 6)), (70, (6, 10))])
def test_patch_maps(patch, size):
    score = PatchDiscriminator(3, 4, patch)(Tensor(np.zeros((2, 3, 64, 96), np.float32)))
    assert score.shape == (2, 1, *size)


def test_upsample_conv_is_doubling_then_convolution():
    fused, plain = UpsampleConv(3, 5), conv(3, 5, 3, 1, 1)
    init_weights(fused, seed=1, init_gain=1.0)
    for source, target in ((fused.weight, plain.weight), (fused.bias, plain.bias)):
        ops.assign(target, source.value())
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6), np.float32)
    weight = Tensor(np.random.default_rng(1).standard_normal((2, 5, 8, 12), np.float32))

    def doubled(x):
        n, c, h, w = x.shape
        x = ops.broadcast_to(x.reshape(n, c, h, 1, w, 1), (n, c, h, 2, w, 2))
        return plain(x.reshape(n, c, 2 * h, 2 * w))

    def through(cell):
        def value(x):
            return (cell(x) * weight).sum()

        return value

    np.testing.assert_allclose(fused(Tensor(x)).asnumpy(), doubled(Tensor(x)).asnumpy(), atol=1e-5)
    got = ms.grad(through(fused), 0, fused.trainable_params())(Tensor(x))
    want = ms.grad(through(doubled), 0, plain.trainable_params())(Tensor(x))
    np.testing.assert_allclose(got[0].asnumpy(), want[0].asnumpy(), atol=1e-4)
    for mine, theirs in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(mine.asnumpy(), theirs.asnumpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("upsampling", "names"),
    [
        ("nearest", {"model.10.block.5.weight", "model.13.weight", "model.17.weight", "model.21.weight"}),
        ("transposed", {"model.10.conv_block.5.weight", "model.12.weight", "model.15.weight", "model.19.weight"}),
    ],
)
def test_names_of_both_families(upsampling, names):
    network = ResnetGenerator(3, 4, 2, upsampling)
    assert names <= set(named_parameters(network))
    assert network(Tensor(np.zeros((1, 3, 16, 20), np.float32))).shape == (1, 3, 16, 20)
    published = CycleGANWeights()
    # as instance norms of old PyTorch versions wrote them
    arrays = state_arrays(network) | {"model.2.running_mean": np.zeros(4, np.float32)}
    assert set(published.names("G_AB", arrays)) == set(named_parameters(network))
    want = {"upsampling": upsampling, "n_residual_blocks": 2, "ngf": 4, "input_nc": 3}
    assert published.options("G_AB", arrays) == want and published.options("D_A", arrays) == {}


def test_weights_of_another_network_are_explained():
    with pytest.raises(UserError, match="not a CycleGAN generator"):
        CycleGANWeights().options("G_AB", {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)})


def test_a_step_translates_each_image_once(monkeypatch):
    seen = []
    original = ResnetGenerator.construct

    def counted(self, x):
        seen.append(x.shape[0])
        return original(self, x)

    monkeypatch.setattr(ResnetGenerator, "construct", counted)
    for lambda_id, images in ((5.0, 6), (0.0, 4)):
        seen.clear()
        system = trained(lambda_id=lambda_id)
        one_step(system, batch_of(2))
        assert sum(seen) == 2 * images


def test_directions_are_averaged_or_added():
    """The two families weigh the same terms; one adds the directions, the other averages them."""
    mean, _ = one_step(trained(), batch_of())
    total, _ = one_step(trained(sum_directions=True), batch_of())
    for name in ("G_GAN", "cycle", "identity"):
        assert total[name] == pytest.approx(2 * mean[name], rel=1e-5)
    assert total["D_A"] == pytest.approx(mean["D_A"], rel=1e-5)


def test_discriminators_see_augmented_images():
    """Real and translated ones, in both losses; the generators do not."""
    policies, batch = ("translation", "color"), batch_of(2)
    system = trained(diffaug=",".join(policies))
    drawn = tuple(map(Tensor, draw_augmentation(policies, 2, (32, 36), 5, system.config.seed)))
    fakes = {name[-1]: Tensor(image) for name, image in system.translate(batch).items()}

    def scores(domain, images):
        return system.networks[f"D_{domain}"](DiffAugment(policies, 3)(images, drawn)).asnumpy()

    real, fake = ({d: scores(d, images[d]) for d in "AB"} for images in ({d: Tensor(batch[d]) for d in "AB"}, fakes))
    plain, _ = one_step(trained(), batch, 5)
    losses, _ = one_step(system, batch, 5)
    assert losses["G_GAN"] == pytest.approx(0.5 * sum(((fake[d] - 1) ** 2).mean() for d in "AB"), rel=1e-4)
    for d in "AB":
        want = 0.5 * (((real[d] - 1) ** 2).mean() + (fake[d] ** 2).mean())
        assert losses[f"D_{d}"] == pytest.approx(want, rel=1e-4) and losses[f"D_{d}"] != plain[f"D_{d}"]
    assert losses["cycle"] == pytest.approx(plain["cycle"], rel=1e-5)


def test_directions_start_from_different_weights():
    networks = trained().networks
    first, second = (state_arrays(networks[n])["model.1.weight"] for n in ("G_AB", "G_BA"))
    assert np.abs(first - second).max() > 0.01


def test_replay_buffers_are_training_state_and_keep_what_is_finite():
    system = trained(pool_size=2)
    objective = system.objective((32, 36))
    assert {name: buffer.images.shape for name, buffer in objective.buffers.items()} == {
        "replay_A": (3, 3, 32, 36),
        "replay_B": (3, 3, 32, 36),
    }
    batch = batch_of()
    bias = [p for name, p in named_parameters(system.networks["G_AB"]).items() if name.endswith(".bias")][-1]
    ops.assign(bias, ops.full_like(bias, np.nan))
    _, made = one_step(system, batch, 0, objective)
    assert np.isnan(made["fake_B"]).all()
    ops.assign(bias, ops.zeros_like(bias))
    one_step(system, batch, 1, objective)
    kept_A, kept_B = (buffer.images.asnumpy() for buffer in objective.buffers.values())
    # translations of B were finite in both steps, those of A in the second
    assert [np.abs(row).max() > 0 for row in kept_A] == [True, True, False]
    assert [np.abs(row).max() > 0 for row in kept_B] == [False, True, False]
    assert np.isfinite(kept_A).all() and np.isfinite(kept_B).all()


def test_segmenter_trains_with_the_generators_and_then_frozen(tmp_path):
    system = trained(semantic="joint")
    before = state_arrays(system.networks["S"])
    losses, _ = one_step(system, batch_of())
    assert {"semantic", "S"} <= set(losses) and losses["S"] == pytest.approx(np.log(5), rel=0.3)
    learned = state_arrays(system.networks["S"])
    assert any(np.abs(learned[n] - before[n]).max() > 1e-5 for n in before)

    path = tmp_path / "net_S.safetensors"
    save_file(learned, path)
    system = trained(semantic="frozen", semantic_weights=str(path))
    losses, _ = one_step(system, batch_of())
    assert "semantic" in losses and "S" not in losses
    for name, value in state_arrays(system.networks["S"]).items():
        np.testing.assert_array_equal(value, learned[name])


@pytest.mark.parametrize("policies", ["", "translation"])
def test_the_segmenter_sees_changing_colours(policies):
    """In both losses, the same as the discriminators where these see some; sources are seen as they are."""
    batch, system = batch_of(2), trained(semantic="joint", diffaug=policies)
    drawn = tuple(map(Tensor, draw_augmentation(("color",), 2, (32, 36), 5, system.config.seed)))
    label, classes = (
        Tensor(batch["label_A"][:, :, 2::4, 2::4]),
        Tensor(np.arange(5, dtype=np.int32).reshape(1, 5, 1, 1)),
    )

    def seen(image):
        return system.networks["S"](DiffAugment(("color",), 3)(Tensor(image), drawn))

    fakes, plain = system.translate(batch), system.networks["S"](Tensor(batch["B"]))
    semantic = label_loss(seen(fakes["fake_B"]), label, classes) + semantic_loss(seen(fakes["fake_A"]), plain)
    learned = label_loss(seen(batch["A"]), label, classes)
    losses, _ = one_step(system, batch, 5)
    assert losses["semantic"] == pytest.approx(0.5 * float(semantic), rel=1e-4)
    assert losses["S"] == pytest.approx(float(learned), rel=1e-4)


def test_semantic_branch_compiles():
    plain, _ = one_step(trained(semantic="joint", diffaug="cutout"), batch_of())
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        compiled, _ = one_step(trained(semantic="joint", diffaug="cutout"), batch_of())
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_semantic_branch_says_what_it_lacks():
    system = trained(semantic="joint")
    assert system.request(system.config, training=True).labels
    assert not system.request(system.config, training=False).labels
    with pytest.raises(UserError, match="needs a trained segmenter"):
        trained(semantic="frozen")


def test_translation_follows_the_direction():
    batch = {k: v for k, v in batch_of().items() if k != "label_A"}
    system = translating()
    assert set(system.networks) == {"G_AB", "G_BA"}
    for direction, names in (("AtoB", {"fake_B"}), ("BtoA", {"fake_A"}), ("both", {"fake_A", "fake_B"})):
        fakes = system.translate(batch, direction=direction)
        assert set(fakes) == names
        assert all(fake.shape == batch["A"].shape for fake in fakes.values())
    assert set(system.translate({"B": batch["B"]})) == {"fake_A"}
    shown = system.visuals(batch, fakes)
    assert list(shown) == ["real_A", "fake_B", "real_B", "fake_A"]


def test_groups_hold_every_trained_parameter_once():
    system = trained(semantic="joint")
    objective = system.objective((32, 36))
    groups = objective.groups(1)
    assert [group.name for group in groups] == ["G", "D_A", "D_B", "S"]
    names = [name for group in groups for name in group.parameters]
    assert len(names) == len(set(names))
    assert set(names) == set(system.trainable(*system.networks))
    assert isinstance(objective.gradients(groups), nn.Cell)


def test_recomputation_changes_no_number():
    plain, _ = one_step(trained(), batch_of())
    again, _ = one_step(trained(recompute=True), batch_of())
    assert plain == pytest.approx(again, rel=1e-6)


def test_one_generator_is_enough_for_its_direction():
    system = translating()
    del system.networks["G_BA"]  # what loading does where a checkpoint has one direction only
    batch = batch_of()
    assert set(system.translate(batch)) == {"fake_B"}
    with pytest.raises(UserError, match="needs the generator G_BA"):
        system.translate(batch, direction="BtoA")


def test_half_precision_stays_near_full_precision():
    full, _ = one_step(trained(), batch_of())
    half, outputs = one_step(trained(precision="fp16"), batch_of())
    assert half == pytest.approx(full, rel=0.02)
    assert all(value.dtype == np.float32 for value in outputs.values())


@pytest.mark.parametrize(("patch", "smallest"), [(94, 32), (70, 24)])
def test_training_images_that_give_the_discriminators_nothing_are_refused(patch, smallest):
    system = trained(patch=patch)
    assert system.networks["D_A"](Tensor(np.zeros((1, 3, smallest, smallest), np.float32))).size >= 1
    system.objective((smallest, smallest))
    with pytest.raises(UserError, match=f"64x{smallest - 4} are too small for discriminators with --patch {patch}"):
        system.objective((smallest - 4, 64))
