"""A second discriminator that tells real patches from those of fakes."""

import numpy as np
import pytest
from mindspore import Tensor

from src.systems.pix2pixhd.patches import Patches
from src.systems.pix2pixhd.system import Pix2PixHD
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.metrics.stand_ins import blocks, write_pictures
from tests.systems.pix2pixhd.tiny_pix2pixhd import batch_of, check_both_modes, one_step, system_of, weights_of
from train import main as train

PAIRS = "--netG light --label_nc 0 --no_instance True --no_ganFeat_loss True --num_D 1 --n_layers_D 1 --lambda_l1 9"
HYBRID = [*PAIRS.split(), "--real_patches=[2,3]", "--lambda_real=3"]


def test_patches_are_those_of_a_grid_row_by_row():
    x = np.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6).astype(np.float32)
    got = Patches(2, 3)(Tensor(x)).asnumpy()
    want = [x[n, :, r : r + 2, c : c + 2] for n in range(2) for r in (0, 2) for c in (0, 2, 4)]
    assert (got == np.stack(want)).all()


def test_a_step_judges_patches_of_fakes_and_real_ones():
    system = system_of(*HYBRID)
    system.set_train(True)
    batch, before = batch_of(system, n=2, width=24), weights_of(system)
    fake = system.translate(batch)["synthesized_image"]

    def logits(image):
        return system.networks["P"](Patches(2, 3)(Tensor(image)))[0][-1].asnumpy()

    of_fake, of_real = logits(fake), logits(batch["real"])
    assert len(of_fake) == 2 * 2 * 3
    want = {"G_P": 3 * ((of_fake - 1) ** 2).mean()}
    want |= {"P_real": ((of_real - 1) ** 2).mean(), "P_fake": (of_fake**2).mean()}
    got, _ = one_step(system, batch)
    assert list(got) == ["G_GAN", "G_L1", "G_P", "D_real", "D_fake", "P_real", "P_fake"]
    for name, value in want.items():
        assert got[name] == pytest.approx(value, rel=1e-4), name
    after = weights_of(system)
    assert {key.split(".")[0] for key in before if (before[key] != after[key]).any()} == {"G", "D", "P"}
    # nothing of it stays in a network for use
    assert set(Pix2PixHD(system.config, training=False).networks) == {"G"}


def test_the_step_of_a_light_student_is_the_same_in_both_modes():
    check_both_modes(*HYBRID, width=24)


def test_a_grid_that_does_not_fit_the_images_is_refused_before_records_are_built(tmp_path):
    for name in ("A", "B", "real_2x3"):
        write_pictures(tmp_path / f"train_{name}", {"0": blocks(0, 16, 32)})
    words = [*HYBRID, "--no_vgg_loss=True", "--resize_or_crop=none", "--device_target=CPU", "--mode=pynative"]
    words += ["--ngf=2", "--ndf=2", "--n_downsample_global=2", "--n_blocks_global=1"]
    words += [f"--data_root={tmp_path}", f"--records_dir={tmp_path / 'records'}"]
    with pytest.raises(UserError, match=r"--real_patches \[2, 3\] does not divide samples of 32x16"):
        train(words)
    assert not (tmp_path / "records").exists()


def test_what_cuts_through_patches_is_refused():
    with pytest.raises(UserError, match=r"--real_patches \[2, 3\] does not divide samples of 32x16"):
        system_of(*HYBRID).objective((16, 32))
    words = [*HYBRID, "--no_vgg_loss=True"]
    with pytest.raises(UserError, match="--resize_or_crop resize_and_crop cuts through the patches"):
        Pix2PixHD.check_files(load_config([*words, "--resize_or_crop=resize_and_crop"]))
    for grid in ("[2,0]", "[2]"):
        with pytest.raises(UserError, match="--real_patches .* is no grid"):
            Pix2PixHD.check_files(load_config([*words, f"--real_patches={grid}"]))
