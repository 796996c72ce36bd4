"""CycleGAN: published numbers of both families, the replay buffer, the semantic branch, what bad options get."""

from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from safetensors.numpy import save_file

from src.models.cyclegan.networks import PatchDiscriminator, ResnetGenerator, UpsampleConv
from src.models.cyclegan.published import published_arrays, published_options
from src.models.cyclegan.replay import ReplayBuffer, draw_slots
from src.models.cyclegan.system import CycleGAN
from src.models.layers import conv
from src.models.state import count_parameters, init_weights, named_parameters, state_arrays
from src.training.steps import TrainStep
from src.utils.errors import UserError


def options(**changes):
    values = {
        "input_nc": 3,
        "ngf": 4,
        "ndf": 4,
        "n_residual_blocks": 1,
        "upsampling": "nearest",
        "patch": 94,
        "no_lsgan": False,
        "sum_directions": False,
        "lambda_cyc": 10.0,
        "lambda_id": 5.0,
        "pool_size": 0,
        "semantic": "none",
        "semantic_nc": 5,
        "semantic_width": 4,
        "semantic_weights": "",
        "lambda_semantic": 1.0,
        "direction": "both",
        "recompute": False,
        "precision": "fp32",
        "init_type": "normal",
        "init_gain": 0.02,
        "seed": 0,
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
    }
    return SimpleNamespace(**(values | changes))


def batch_of(n=1, height=32, width=36):
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, (n, 3, height, width)).astype(np.float32) for _ in range(2))
    return {"A": a, "B": b, "label_A": rng.integers(0, 6, (n, 1, height, width)).astype(np.int32)}


def one_step(system, batch, step=0):
    groups = system.update_groups(1)
    inputs = [Tensor(array) for array in system.inputs(batch, step)]
    train = TrainStep(system.gradients(groups), groups)
    losses, _, outputs = train(*inputs)
    return dict(zip(system.loss_names, losses.asnumpy(), strict=True)), system.training_outputs(outputs)


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
    arrays = {f"module.{name}": value for name, value in state_arrays(network).items()}
    arrays["module.model.2.running_mean"] = np.zeros(4, np.float32)
    assert set(published_arrays(arrays)) == set(named_parameters(network))
    want = {"upsampling": upsampling, "n_residual_blocks": 2, "ngf": 4, "input_nc": 3}
    assert published_options(arrays) == want


def test_weights_of_another_network_are_explained():
    with pytest.raises(UserError, match="no CycleGAN generator"):
        published_options({"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)})


def test_a_step_translates_each_image_once(monkeypatch):
    seen = []
    original = ResnetGenerator.construct

    def counted(self, x):
        seen.append(x.shape[0])
        return original(self, x)

    monkeypatch.setattr(ResnetGenerator, "construct", counted)
    for lambda_id, images in ((5.0, 6), (0.0, 4)):
        seen.clear()
        system = CycleGAN(options(lambda_id=lambda_id))
        one_step(system, batch_of(2))
        assert sum(seen) == 2 * images


def test_directions_are_averaged_or_added():
    """The two families weigh the same terms; one adds the directions, the other averages them."""
    mean, _ = one_step(CycleGAN(options()), batch_of())
    total, _ = one_step(CycleGAN(options(sum_directions=True)), batch_of())
    for name in ("G_GAN", "cycle", "identity"):
        assert total[name] == pytest.approx(2 * mean[name], rel=1e-5)
    assert total["D_A"] == pytest.approx(mean["D_A"], rel=1e-5)


def test_directions_start_from_different_weights():
    networks = CycleGAN(options()).networks
    first, second = (state_arrays(networks[n])["model.1.weight"] for n in ("G_AB", "G_BA"))
    assert np.abs(first - second).max() > 0.01


@pytest.mark.parametrize(("batch", "size"), [(1, 3), (3, 4), (5, 2)])
def test_replay_buffer_swaps_images(batch, size):
    """Against a list of images on the host that follows the published rule, over many steps."""
    buffer, stored, swaps, steps = ReplayBuffer(size, (1, 2, 2)), {}, 0, 30
    for step in range(steps):
        new = np.arange(step * batch, (step + 1) * batch, dtype=np.float32)
        images = np.broadcast_to(new.reshape(-1, 1, 1, 1), (batch, 1, 2, 2)).copy()
        slots = draw_slots(size, batch, step, [0])
        shown = buffer(Tensor(images), Tensor(slots)).asnumpy()[:, 0, 0, 0]
        taken = [slot for slot in slots[1] if slot < size]
        assert len(taken) == len(set(taken))
        before = dict(stored)
        for i in range(batch):
            read, write = slots[:, i]
            assert shown[i] == (new[i] if read < 0 else before[read])
            swaps += int(read >= 0)
            if write < size:
                stored[int(write)] = new[i]
    assert sorted(stored) == list(range(size))
    kept = buffer.images.asnumpy()[:size, 0, 0, 0]
    np.testing.assert_array_equal(kept, [stored[i] for i in range(size)])
    # every image after the first ``size`` is swapped with probability one half, as far as slots go round
    expected = 0.5 * min(batch, size) * (steps - np.ceil(size / batch))
    assert abs(swaps - expected) < 4 * np.sqrt(expected)


def test_replay_buffer_is_training_state_of_the_step():
    system = CycleGAN(options(pool_size=2))
    one_step(system, batch_of())
    assert set(system.buffers) == {"replay_A", "replay_B"}
    kept = system.buffers["replay_B"].images.asnumpy()
    assert np.abs(kept[0]).max() > 0 and np.abs(kept[1]).max() == 0


def test_segmenter_trains_with_the_generators_and_then_frozen(tmp_path):
    system = CycleGAN(options(semantic="joint"))
    before = state_arrays(system.networks["S"])
    losses, _ = one_step(system, batch_of())
    assert {"semantic", "S"} <= set(losses) and losses["S"] == pytest.approx(np.log(5), rel=0.3)
    trained = state_arrays(system.networks["S"])
    assert any(np.abs(trained[n] - before[n]).max() > 1e-5 for n in before)

    path = tmp_path / "net_S.safetensors"
    save_file(trained, path)
    system = CycleGAN(options(semantic="frozen", semantic_weights=str(path)))
    losses, _ = one_step(system, batch_of())
    assert "semantic" in losses and "S" not in losses
    for name, value in state_arrays(system.networks["S"]).items():
        np.testing.assert_array_equal(value, trained[name])


def test_semantic_branch_says_what_it_lacks():
    system = CycleGAN(options(semantic="joint"))
    with pytest.raises(UserError, match="needs the label maps of A"):
        system.inputs({k: v for k, v in batch_of().items() if k != "label_A"})
    with pytest.raises(UserError, match="needs a trained segmenter"):
        CycleGAN(options(semantic="frozen"))


def test_translation_follows_the_direction():
    batch = {k: v for k, v in batch_of().items() if k != "label_A"}
    for direction, names in (("AtoB", {"fake_B"}), ("BtoA", {"fake_A"}), ("both", {"fake_A", "fake_B"})):
        system = CycleGAN(options(direction=direction), training=False)
        assert set(system.networks) == {"G_AB", "G_BA"}
        fakes = system.translate(batch)
        assert set(fakes) == names
        assert all(fake.shape == batch["A"].shape for fake in fakes.values())
    assert set(system.translate({"B": batch["B"]})) == {"fake_A"}
    shown = system.visuals(batch, fakes)
    assert list(shown) == ["real_A", "fake_B", "real_B", "fake_A"]


def test_groups_hold_every_trained_parameter_once():
    system = CycleGAN(options(semantic="joint"))
    groups = system.update_groups(1)
    assert [group.name for group in groups] == ["G", "D_A", "D_B", "S"]
    names = [name for group in groups for name in group.parameters]
    assert len(names) == len(set(names))
    total = sum(len(named_parameters(cell)) for cell in system.networks.values())
    assert len(names) == total
    assert isinstance(system.gradients(groups), nn.Cell)


def test_recomputation_changes_no_number():
    plain, _ = one_step(CycleGAN(options()), batch_of())
    again, _ = one_step(CycleGAN(options(recompute=True)), batch_of())
    assert plain == pytest.approx(again, rel=1e-6)


def test_one_generator_is_enough_for_its_direction():
    system = CycleGAN(options(), training=False)
    del system.networks["G_BA"]  # what loading does where a checkpoint has one direction only
    batch = batch_of()
    assert set(system.translate(batch)) == {"fake_B"}
    system.config.direction = "BtoA"
    with pytest.raises(UserError, match="needs the generator G_BA"):
        system.translate(batch)


def test_half_precision_stays_near_full_precision():
    full, _ = one_step(CycleGAN(options()), batch_of())
    half, outputs = one_step(CycleGAN(options(precision="fp16")), batch_of())
    assert half == pytest.approx(full, rel=0.02)
    assert all(value.dtype == np.float32 for value in outputs.values())
