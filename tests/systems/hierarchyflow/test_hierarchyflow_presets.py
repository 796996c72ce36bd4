"""The presets of Hierarchy Flow mean what they meant in every version."""

import pytest

from tests.systems.presets import check_preset

_BASE = {
    "batch_size": 1,
    "beta1": 0.9,
    "beta2": 0.999,
    "content_weight": 1.0,
    "crop_height": 256,
    "crop_width": 512,
    "data_root": "./datasets/gta2cityscapes",
    "eta_min": 0.0,
    "eval_size": "training",
    "fine_size": 512,
    "input": "",
    "k": 0.8,
    "label_root": "",
    "load_size": 1024,
    "lr": 0.0001,
    "lr_policy": "cosine",
    "max_iter": 300000,
    "model": "hierarchyflow",
    "name": "hierarchyflow",
    "niter": 100,
    "niter_decay": 100,
    "no_flip": False,
    "out_channels": [30, 120],
    "pad_size": 10,
    "random_pair": True,
    "resize_or_crop": "random_resized_crop",
    "reverse": "exact",
    "scale_h": 1.0,
    "scale_l": 0.8,
    "source_list": "",
    "source_root": "",
    "style": "",
    "style_weight": 0.1,
    "target_list": "",
    "target_root": "",
    "test_pairs": True,
    "v_flip": False,
    "vgg_pre_trained": "./vgg_normalised.pth",
    "weight_decay": 0.0,
    "weight_type": "learned",
}
_PRESETS = {
    "hierarchyflow": {},
    "hierarchyflow_coco2wikiart": {
        "data_root": "./datasets/coco2wikiart",
        "crop_width": 400,
        "crop_height": 300,
        "scale_l": 0.5,
        "content_weight": 0.1,
        "style_weight": 1.0,
    },
    "hierarchyflow_gta2cityscapes": {},
    "hierarchyflow_gta2cityscapes_strong": {
        "crop_height": 512,
        "scale_l": 0.7,
        "v_flip": True,
        "k": 0.9,
        "content_weight": 0.1,
        "style_weight": 1.0,
        "max_iter": 100000,
        "eta_min": 1e-7,
        "weight_decay": 0.0005,
    },
    "hierarchyflow_streets": {
        "source_root": "./datasets/simulated_streets/{phase}_img",
        "target_root": "./datasets/streets/{phase}_img",
        "crop_width": 96,
        "crop_height": 48,
        "out_channels": [12, 48],
        "vgg_pre_trained": "random:1",
        "k": -1.0,
        "content_weight": 0.1,
        "style_weight": 1.0,
        "lr": 0.001,
        "max_iter": 1000,
        "print_freq": 400,
        "display_freq": 2000,
        "save_latest_freq": 4000,
    },
}


@pytest.mark.parametrize("preset", _PRESETS)
def test_presets(preset):
    check_preset(preset, "hierarchyflow", _BASE, _PRESETS[preset])
