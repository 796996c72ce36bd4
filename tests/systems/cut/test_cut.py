"""CUT: what networks, features and losses are in closed form, what one step trains, and what bad options get.

Published numbers of whole steps are compared in tests/test_reference.py.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.models.blur import BlurDown, BlurUp
from src.models.cut.contrast import PatchProjection, patch_nce
from src.models.cut.features import Encoder
from src.models.cyclegan.networks import PatchDiscriminator, ResnetGenerator
from src.models.diffaug import DiffAugment, draw_augmentation
from src.models.parameters import count_parameters, named_parameters, state_arrays
from src.systems.cut.system import CUTSystem
from src.systems.programs import TRAIN, read_command
from src.training.steps import TrainStep
from src.utils.errors import UserError

_TINY = {"model": "cut", "ngf": 4, "ndf": 4, "n_residual_blocks": 1, "nce_layers": [0, 4, 8, 12]}
_TINY |= {"netF_nc": 8, "num_patches": 16, "seed": 3}


def trained(**changes):
    words = [f"--{key}={value}" for key, value in (_TINY | changes).items()]
    return CUTSystem(read_command(TRAIN, words)[1], training=True)


def batch_of(n=1, height=24, width=32):
    rng = np.random.default_rng(0)
    return {name: rng.uniform(-1, 1, (n, 3, height, width)).astype(np.float32) for name in "AB"}


def one_step(system, batch, step=0, objective=None):
    objective = objective or system.objective(batch["A"].shape[2:])
    groups = objective.groups(1)
    losses, _, outputs = TrainStep(objective.gradients(groups), groups)(*map(Tensor, objective.inputs(batch, step)))
    return dict(zip(objective.loss_names, losses.asnumpy().tolist(), strict=True)), objective.outputs(outputs)


def test_published_sizes():
    """Those that the published code prints for its defaults."""
    assert count_parameters(ResnetGenerator(3, 64, 9, "blurred", "blurred")) == 11_378_179
    assert count_parameters(PatchDiscriminator(3, 64, 70, "blurred")) == 2_764_737
    assert count_parameters(PatchProjection([3, 128, 256, 256, 256])) == 560_384


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_blurred_halving(size):
    x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    mirrored = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    rows = (mirrored[:, :, :-2] + 2 * mirrored[:, :, 1:-1] + mirrored[:, :, 2:]) / 4
    both = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4
    np.testing.assert_allclose(BlurDown(3)(Tensor(x)).asnumpy(), both[:, :, ::2, ::2], atol=1e-6)


def test_blurred_doubling_is_bilinear_between_centres():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)

    def doubled(values, axis):
        side = values.shape[axis]
        at = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, side - 1)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        return np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share

    np.testing.assert_allclose(BlurUp(3)(Tensor(x)).asnumpy(), doubled(doubled(x, 2), 3), atol=1e-6)


@pytest.mark.parametrize("across", [False, True])
def test_the_loss_is_the_cross_entropy_of_the_own_patch(across):
    rng = np.random.default_rng(0)
    queries, keys = (x / np.linalg.norm(x, axis=2, keepdims=True) for x in rng.standard_normal((2, 2, 5, 7)))
    found = float(patch_nce(Tensor(queries.astype(np.float32)), Tensor(keys.astype(np.float32)), 0.07, across))
    if across:
        queries, keys = queries.reshape(1, 10, 7), keys.reshape(1, 10, 7)
    logits = np.einsum("npc,nqc->npq", queries, keys) / 0.07
    chances = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    assert found == pytest.approx(-np.log(np.einsum("npp->np", chances)).mean(), rel=1e-5)


@pytest.mark.parametrize("antialias", [True, False])
def test_sizes_of_feature_maps_are_known_before_they_are_computed(antialias):
    layers = range(12 if antialias else 10)
    system = trained(no_antialias=not antialias, no_antialias_up=not antialias, nce_layers=list(layers))
    image = Tensor(batch_of(1, 28, 36)["A"])
    maps = Encoder(system.networks["G"].model.cell_list, layers)(image)
    assert [one.shape[1:] for one in maps] == [tuple(one) for one in system.maps((28, 36))]


def test_encoder_and_decoder_are_the_generator():
    system = trained()
    generator, image = system.networks["G"], Tensor(batch_of()["A"])
    encoder = Encoder(generator.model.cell_list, [0, 4, 12])
    np.testing.assert_array_equal(encoder.decoder(encoder(image)[-1]).asnumpy(), generator(image).asnumpy())


def test_a_vector_is_that_of_its_place():
    project = trained(init_gain=1.0, netF_nc=32).networks["F"]
    maps = tuple(
        Tensor(np.random.default_rng(i).standard_normal((2, c, 4, 6)).astype(np.float32))
        for i, c in enumerate((3, 8, 16, 16))
    )
    places = np.tile(np.arange(24, dtype=np.int32), (4, 1))
    all_of_them = [vectors.asnumpy() for vectors in project(maps, Tensor(places))]
    some = [vectors.asnumpy() for vectors in project(maps, Tensor(places[:, 13:15]))]
    changed = [Tensor(one.asnumpy()) for one in maps]
    for one, vectors, few in zip(changed, all_of_them, some, strict=True):
        np.testing.assert_allclose(few, vectors[:, 13:15], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-3)
        one[:, :, 2, 1] = 0.0  # place 13 of maps 6 wide
    for vectors, other in zip(all_of_them, project(tuple(changed), Tensor(places)), strict=True):
        moved = np.abs(other.asnumpy() - vectors).max((0, 2)) > 1e-6
        assert moved.tolist() == [place == 13 for place in range(24)]


def test_biases_that_the_loss_sees_are_trained():
    """Layers 4 and 8 are convolutions before their norms; behind the norms of all others no bias is left."""
    system = trained(nce_layers=[0, 4, 8, 12])
    groups = {group.name: group for group in system.objective((24, 32)).groups(1)}
    biases = {name for name in groups["G"].parameters if name.endswith(".bias")}
    assert biases == {"G.model.4.bias", "G.model.8.bias", "G.model.22.bias"}
    assert {"model.1.bias", "model.12.conv_block.1.bias"} <= set(named_parameters(system.networks["G"]))
    few = trained(nce_layers=[0, 12]).objective((24, 32)).groups(1)[0].parameters
    assert {name for name in few if name.endswith(".bias")} == {"G.model.22.bias"}


def test_a_step_trains_all_three_networks():
    system = trained()
    before = {name: state_arrays(cell) for name, cell in system.networks.items()}
    losses, outputs = one_step(system, batch_of())
    assert list(losses) == ["G_GAN", "NCE", "NCE_Y", "D_real", "D_fake"] and set(outputs) == {"fake_B", "idt_B"}
    for name, cell in system.networks.items():
        after = state_arrays(cell)
        moved = {key for key in after if np.abs(after[key] - before[name][key]).max() > 1e-5}
        assert moved == {key.partition(".")[2] for key in system.trainable(name)}, name


def test_the_step_compiles_and_recomputation_changes_no_number():
    options = {"flip_equivariance": True, "nce_idt": False, "diffaug": "cutout", "pool_size": 2, "nce_layers": [0, 8]}
    options["n_residual_blocks"] = 0
    plain, _ = one_step(trained(**options), batch_of(), 1)
    again, _ = one_step(trained(**options, recompute=True), batch_of(), 1)
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        compiled, _ = one_step(trained(**options, recompute=True), batch_of(), 1)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert again == pytest.approx(plain, rel=1e-6) and compiled == pytest.approx(plain, rel=1e-4)


def test_half_precision_stays_near_full_precision():
    full, _ = one_step(trained(nce_idt=False), batch_of())
    half, outputs = one_step(trained(nce_idt=False, precision="fp16"), batch_of())
    assert half == pytest.approx(full, rel=0.03)
    assert all(value.dtype == np.float32 for value in outputs.values())


def test_mirrored_queries_lie_at_the_mirrored_place():
    """What a mirrored step shows is mirrored, keys are of the image as it is; half of the steps are mirrored."""
    system, batch = trained(flip_equivariance=True, nce_idt=False), batch_of()
    objective, mirrored = system.objective((24, 32)), 0
    for step in range(12):
        seen, source, _, _, keys, queries, *_ = objective.inputs(batch, step)
        np.testing.assert_array_equal(source, batch["A"])
        mirrors = not np.array_equal(seen, batch["A"])
        mirrored += mirrors
        np.testing.assert_array_equal(seen, batch["A"][..., ::-1] if mirrors else batch["A"])
        for maps, key, query in zip(objective.maps, keys[0], queries[0], strict=True):
            at = np.arange(maps.height * maps.width).reshape(maps.height, maps.width)
            np.testing.assert_array_equal(query, (at[:, ::-1] if mirrors else at).reshape(-1)[key])
            assert len(set(key.tolist())) == 16 and key.min() >= 0 and key.max() < at.size
    assert 0 < mirrored < 12
    assert len(objective.loss_names) == 4


def test_places_differ_from_step_to_step_and_are_drawn_again_alike():
    objective = trained().objective((24, 32))
    first, second, again = (objective.inputs(batch_of(), step)[4] for step in (0, 1, 0))
    assert (first != second).any() and (first[0] != first[1]).any() and (first == again).all()


def test_the_discriminator_sees_augmented_images():
    policies, batch = ("translation", "color"), batch_of(2)
    system = trained(diffaug=",".join(policies))
    drawn = tuple(map(Tensor, draw_augmentation(policies, 2, (24, 32), 5, system.config.seed)))
    fake = Tensor(system.translate(batch)["fake_B"])
    real, made = (
        system.networks["D"](DiffAugment(policies, 3)(x, drawn)).asnumpy() for x in (Tensor(batch["B"]), fake)
    )
    plain, _ = one_step(trained(), batch, 5)
    losses, _ = one_step(system, batch, 5)
    assert losses["G_GAN"] == pytest.approx(((made - 1) ** 2).mean(), rel=1e-4)
    assert losses["D_real"] == pytest.approx(((real - 1) ** 2).mean(), rel=1e-4)
    assert losses["D_fake"] == pytest.approx((made**2).mean(), rel=1e-4)
    assert losses["NCE"] == pytest.approx(plain["NCE"], rel=1e-5) and losses["D_real"] != plain["D_real"]


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"num_patches": 49}, (24, 32), r"num_patches 49 is above the 8x6 = 48 places .* 32x24: pass --num_patches 48"),
        ({}, (20, 64), "training images of 64x20 are too small for the discriminator, which takes 24x24"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(changes, size, message):
    with pytest.raises(UserError, match=message):
        trained(**changes).objective(size)
    trained(num_patches=48).objective((24, 32))


@pytest.mark.parametrize("layers", ["16", "4 0", "0 0", "0 14"])
def test_layers_that_the_generator_does_not_have_are_refused(layers):
    with pytest.raises(UserError, match=rf"nce_layers {layers} must ascend within 0 to 12, .*--nce_layers 0 4 8 12"):
        trained(nce_layers=layers.replace(" ", ","))
