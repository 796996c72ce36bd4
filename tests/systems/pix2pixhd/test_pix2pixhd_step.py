"""One training step of pix2pixHD: published losses, every variant, the same in both modes, its image pool."""

import random

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, ops

from src.models.diffaug import DiffAugment, draw_augmentation, policies_of
from src.models.losses import GANLoss
from tests.systems.pix2pixhd.tiny_pix2pixhd import IN_RANGE, batch_of, check_both_modes, one_step, system_of, weights_of


def test_gan_losses(mode):
    x = np.array([[-200.0, -1.0, 0.0, 2.0, 200.0]], np.float32)
    with np.errstate(over="ignore"):
        for real in (True, False):
            got = GANLoss(True)(Tensor(x), real).asnumpy()
            np.testing.assert_allclose(got, ((x.astype(np.float64) - real) ** 2).mean(), rtol=1e-6)
            sign = -1 if real else 1
            want = np.logaddexp(0, sign * x.astype(np.float64)).mean()
            np.testing.assert_allclose(GANLoss(False)(Tensor(x), real).asnumpy(), want, rtol=1e-6)


@pytest.mark.parametrize("policies", ["", "color,translation,cutout"])
def test_a_step_takes_the_published_losses_at_the_weights_before_any_update(policies):
    """With the pairs that the discriminator sees augmented, condition and image alike, where that is asked for."""
    system = system_of(
        *["--num_D", "2", "--n_layers_D", "2", "--lambda_feat", "7", "--lambda_l1", "9"], "--diffaug", policies
    )
    batch = batch_of(system, n=2)
    drawn = tuple(map(Tensor, draw_augmentation(policies_of(policies), 2, (16, 32), 0, system.config.seed)))
    augment = DiffAugment(policies_of(policies), 3)
    condition = system.encode(Tensor(batch["label"]), Tensor(batch["inst"]))
    fake = system.translate(batch)["synthesized_image"]

    def maps(image):
        pair = augment(ops.concat((condition, Tensor(image)), 1), drawn)
        return [[o.asnumpy() for o in s] for s in system.networks["D"](pair)]

    of_fake, of_real = maps(fake), maps(batch["image"])
    inner_pairs = [pair for f, r in zip(of_fake, of_real, strict=True) for pair in zip(f[:-1], r[:-1], strict=True)]
    want = {
        "G_GAN": sum(((s[-1] - 1) ** 2).mean() for s in of_fake),
        # 4 / (n_layers_D + 1) / num_D times lambda_feat
        "G_GAN_Feat": 7 * 4 / 3 / 2 * sum(np.abs(a - b).mean() for a, b in inner_pairs),
        "G_L1": 9 * np.abs(fake - batch["image"]).mean(),
        "D_real": sum(((s[-1] - 1) ** 2).mean() for s in of_real),
        "D_fake": sum((s[-1] ** 2).mean() for s in of_fake),
    }  # fmt: skip
    got, output = one_step(system, batch)
    assert list(got) == list(want)
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
    "light": (["--netG", "light", "--lambda_l1", "100"], "G_GAN G_GAN_Feat G_L1 D_real D_fake"),
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
        batch["feat"] = system.encode_image(batch["image"], system.region_map(batch))
    translated = system.translate(batch)["synthesized_image"]
    assert translated.shape == batch["image"].shape and np.abs(translated).max() <= IN_RANGE
    shown = system.visuals(batch, system.objective((32, 32)).outputs((Tensor(fake),)))
    assert list(shown) == ["input_label", "synthesized_image", "real_image"]
    assert all(image.dtype == np.uint8 and image.shape[:2] == (32, 32) for image in shown.values())


def test_one_step_is_the_same_in_both_modes():
    options = ("--instance_feat", "--lr_E", "0.0001", "--pool_size", "1", "--num_D", "1", "--n_layers_D", "1")
    check_both_modes(*options, "--diffaug", "color,translation,cutout")


def test_pool_feeds_the_discriminator_alone():
    system = system_of("--pool_size", "1")
    first, second = (batch_of(system, seed=s) for s in (1, 2))
    objective = system.objective((16, 32))
    gradients = objective.gradients(objective.groups(1))
    scale = Tensor(1.0, ms.float32)

    def losses(batch, slots):
        arrays = [*objective.inputs(batch)[:-1], np.array([slots], np.int32)]
        return dict(zip(objective.loss_names, gradients(scale, *map(Tensor, arrays))[0].asnumpy(), strict=True))

    plain = losses(second, (-1, -1))
    stored = losses(first, (-1, 0))
    swapped = losses(second, (0, 0))
    assert swapped["D_fake"] == pytest.approx(stored["D_fake"], rel=1e-5)
    assert swapped["D_fake"] != pytest.approx(plain["D_fake"], rel=1e-5)
    for name in ("G_GAN", "G_GAN_Feat", "D_real"):
        assert swapped[name] == pytest.approx(plain[name], rel=1e-5)
    # the image that was swapped in is now in the pool
    assert losses(first, (0, -1))["D_fake"] == pytest.approx(plain["D_fake"], rel=1e-5)


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
