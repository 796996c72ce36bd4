"""The presets of CUT, and the defaults of its publication."""

import pytest

from tests.systems.presets import check_preset

#: the defaults of the published code, in its CUT mode
_PUBLISHED = {
    "batch_size": 1,
    "beta1": 0.5,
    "beta2": 0.999,
    "diffaug": "",
    "fine_size": 256,
    "flip_equivariance": False,
    "init_gain": 0.02,
    "init_type": "xavier",
    "input_nc": 3,
    "lambda_GAN": 1.0,
    "lambda_NCE": 1.0,
    "load_size": 286,
    "lr": 0.0002,
    "lr_policy": "linear",
    "n_residual_blocks": 9,
    "nce_T": 0.07,
    "nce_idt": True,
    "nce_includes_all_negatives_from_minibatch": False,
    "nce_layers": [0, 4, 8, 12, 16],
    "ndf": 64,
    "netF_nc": 256,
    "ngf": 64,
    "niter": 200,
    "niter_decay": 200,
    "no_antialias": False,
    "no_antialias_up": False,
    "no_flip": False,
    "no_lsgan": False,
    "num_patches": 256,
    "pool_size": 0,
    "resize_or_crop": "resize_and_crop",
}
_PRESETS = {
    "cut": {},
    "cut_fast": {"lambda_NCE": 10.0, "nce_idt": False, "flip_equivariance": True, "niter": 150, "niter_decay": 50},
    "cut_gta2cityscapes": {
        "resize_or_crop": "scale_short_and_crop",
        "load_size": 573,
        "fine_size": 512,
        "niter": 10,
        "niter_decay": 10,
    },
    "cut_streets": {
        "source_root": "./datasets/simulated_streets/{phase}_img",
        "target_root": "./datasets/streets/{phase}_img",
        "resize_or_crop": "scale_short_and_crop",
        "load_size": 64,
        "fine_size": 64,
        "ngf": 16,
        "ndf": 16,
        "n_residual_blocks": 3,
        "nce_layers": [0, 4, 8, 12, 14],
        "batch_size": 2,
        "niter": 5,
        "niter_decay": 5,
        "print_freq": 400,
        "display_freq": 2000,
        "save_latest_freq": 4000,
    },
}


@pytest.mark.parametrize("preset", _PRESETS)
def test_presets(preset):
    check_preset(preset, "cut", _PUBLISHED, _PRESETS[preset])
