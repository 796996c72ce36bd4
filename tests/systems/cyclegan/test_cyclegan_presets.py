"""The presets of CycleGAN mean what they meant in every version."""

import pytest

from src.systems.programs import load_config

_BASE = {
    "batch_size": 1,
    "beta1": 0.5,
    "beta2": 0.999,
    "crop_height": 0,
    "crop_width": 0,
    "data_root": "./datasets/gta2cityscapes",
    "direction": "both",
    "display": "linear",
    "eval_size": "training",
    "fine_size": 256,
    "init_gain": 0.02,
    "init_type": "normal",
    "input": "",
    "input_nc": 3,
    "label_root": "",
    "lambda_cyc": 10.0,
    "lambda_id": 5.0,
    "lambda_semantic": 1.0,
    "load_size": 286,
    "lr": 0.0002,
    "lr_policy": "linear",
    "max_iter": 0,
    "model": "cyclegan",
    "n_residual_blocks": 9,
    "name": "cyclegan",
    "ndf": 64,
    "ngf": 64,
    "niter": 100,
    "niter_decay": 100,
    "no_flip": False,
    "no_lsgan": False,
    "patch": 94,
    "pool_size": 50,
    "print_freq": 100,
    "random_pair": True,
    "resize_or_crop": "scale_short_and_crop",
    "scale_h": 1.0,
    "scale_l": 0.8,
    "semantic": "none",
    "semantic_nc": 35,
    "semantic_weights": "",
    "semantic_width": 32,
    "source_list": "",
    "source_root": "",
    "style": "",
    "sum_directions": False,
    "target_list": "",
    "target_root": "",
    "test_pairs": False,
    "upsampling": "nearest",
    "v_flip": False,
}
_PRESETS = {
    "cyclegan": {},
    "cyclegan_gta2cityscapes": {"load_size": 573, "fine_size": 512, "batch_size": 8},
    "cyclegan_junyanz": {
        "resize_or_crop": "resize_and_crop",
        "upsampling": "transposed",
        "patch": 70,
        "sum_directions": True,
    },
    "cyclegan_sim2real_card": {
        "resize_or_crop": "squash",
        "fine_size": 512,
        "no_flip": True,
        "batch_size": 8,
        "eval_size": "restored",
        "display": "minmax",
    },
    "cyclegan_streets": {
        "source_root": "./datasets/simulated_streets/{phase}_img",
        "target_root": "./datasets/streets/{phase}_img",
        "load_size": 64,
        "fine_size": 64,
        "ngf": 16,
        "ndf": 16,
        "n_residual_blocks": 3,
        "patch": 70,
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
    values = load_config([f"--config_path=configs/{preset}.yaml"]).to_dict()
    base = load_config(["--model=cyclegan"]).to_dict()
    assert {key: base[key] for key in _BASE} == _BASE
    assert values == base | _PRESETS[preset] | {"name": preset}
