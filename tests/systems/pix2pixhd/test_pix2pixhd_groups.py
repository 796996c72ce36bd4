"""What pix2pixHD trains in which epoch, and options and sizes that training refuses."""

import numpy as np
import pytest

from src.utils.errors import UserError
from tests.systems.pix2pixhd.tiny_pix2pixhd import batch_of, one_step, system_of, weights_of


def test_the_encoder_learns_only_through_the_generator():
    groups = system_of("--instance_feat").objective((16, 32)).groups(1)
    assert [group.name for group in groups] == ["G", "D"]
    assert {name.split(".")[0] for name in groups[0].parameters} == {"G", "E"}
    assert {name.split(".")[0] for name in groups[1].parameters} == {"D"}
    assert all((group.lr, group.beta1, group.beta2) == (2e-4, 0.5, 0.999) for group in groups)


def test_the_encoder_has_a_rate_of_its_own():
    """Adam's first step has the size of the rate: at a quarter of it the encoder moves a quarter, and nothing else."""
    moved = {}
    for rate in ("0", "0.00005"):
        system = system_of("--instance_feat", "--lr_E", rate, "--num_D", "1")
        before = weights_of(system)
        one_step(system, batch_of(system))
        moved[rate] = {key: array - before[key] for key, array in weights_of(system).items()}
    groups = system.objective((16, 32)).groups(1)
    assert [(group.name, group.lr) for group in groups] == [("G", 2e-4), ("D", 2e-4), ("E", 5e-5)]
    assert {name.split(".")[0] for name in groups[2].parameters} == {"E"}
    for key, array in moved["0"].items():
        quarter = 0.25 if key.startswith("E.") else 1
        np.testing.assert_allclose(moved["0.00005"][key], quarter * array, atol=1e-8, err_msg=key)
    assert any(array.any() for key, array in moved["0"].items() if key.startswith("E."))


@pytest.mark.parametrize("enhancers", [1, 2])
def test_niter_fix_global_trains_the_outermost_enhancer_first(enhancers):
    options = ["--netG", "local", "--n_local_enhancers", str(enhancers), "--niter_fix_global", "3"]
    system = system_of(*options, "--instance_feat")
    objective = system.objective((32, 32))
    assert [objective.phase(epoch) for epoch in (1, 3, 4, 9)] == [True, True, False, False]
    for epoch in (1, 3):
        groups = objective.groups(epoch)
        assert [group.name for group in groups] == ["G_enhancer", "D"]
        names = {name for name in groups[0].parameters if name.startswith("G.")}
        outermost = f"model{enhancers}_"
        trained = system.trainable("G")
        assert names == {name for name in trained if name.startswith(f"G.{outermost}")}
        # every other bias is cancelled by an instance norm
        assert [name for name in trained if name.endswith(".bias")] == [list(trained)[-1]]
        assert any(name.startswith("E.") for name in groups[0].parameters)
    groups = objective.groups(4)
    assert [group.name for group in groups] == ["G", "D"]
    assert set(groups[0].parameters) == set(system.trainable("G", "E"))
    other = system_of("--niter_fix_global", "3").objective((16, 32))
    assert [group.name for group in other.groups(1)] == ["G", "D"] and not other.phase(1)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--label_nc", "0"], "label_nc 0 translates images to images.*--no_instance True"),
        (["--label_nc", "0", "--no_instance", "--label_feat"], "no regions to pool features over: drop --label_feat,"),
        (["--label_nc", "0", "--no_instance", "--instance_feat"], "drop --instance_feat, or pass the number"),
        (["--instance_feat", "--no_instance"], "instance_feat needs instance maps"),
        (["--load_features"], "add --instance_feat True"),
        (["--load_features", "--instance_feat", "--feat_num", "5"], "1, 3 or 4 channels, not feat_num 5"),
    ],
)
def test_options_that_contradict_each_other(options, message):
    with pytest.raises(UserError, match=message):
        system_of(*options)


@pytest.mark.parametrize("options, least", [((), 8), (("--netG", "local"), 16), (("--no_vgg_loss", "False"), 16)])
def test_samples_that_are_too_small(options, least):
    """Reflections at the bottleneck need two pixels there, and VGG19 halves its images four times."""
    system = system_of(*options)
    with pytest.raises(UserError, match=rf"images of 64x{least - 4} are too small .* need {least} pixels"):
        system.objective((least - 4, 64))
    if options != ("--no_vgg_loss", "False"):
        system.objective((least, least))
