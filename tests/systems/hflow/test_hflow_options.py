"""Options of hflow: presets, published settings, networks that cannot be, and old names."""

import json

import numpy as np
import pytest
import yaml

from src.models.hflow.architecture import from_published
from src.models.hflow.network import HFlow
from src.models.parameters import named_parameters
from src.options.owner import ROOT
from src.systems.hflow.settings import flat_options, model_options, preset_options
from src.systems.hflow.system import HFlowSystem
from src.systems.programs import EVAL, TRAIN, load_config, read_command
from src.utils.errors import UserError
from tests.systems.hflow.small import small_config

PRESETS = yaml.safe_load((ROOT / "tests" / "systems" / "hflow" / "presets.yaml").read_text())
# values of GENERAL and OUTPUT as published, under published names
GENERAL = {
    "NUM_GPUS": 1, "SEED": 0, "LEARNING_RATE": 5e-3, "LEARNING_RATE_DECODERS": 2e-3, "LEARNING_RATE_ENCODERS": 5e-4,
    "LEARNING_RATE_DECAY_START": 10, "LEARNING_RATE_DECAY": 0.95, "LEARNING_RATE_DECAY_ENCODERS": 0.92,
    "LEARNING_RATE_CUT_ENCODERS": 60, "GRAD_CLIP": 50.0, "BATCH_SIZE": 4, "SAMPLES_PER_GRAD_EVAL": 16, "EPOCHS": 2000,
    "DISCRETIZATION_BITS": 8, "ADDED_NOISE_STD": 0.005, "DATASET_PATH": None, "INCEPTION_NET_PATH": None,
    "DATASET_NAME": None, "RESIZE_DATA_TO": 128,
}  # fmt: skip
OUTPUT = {
    "CHECKPOINT_EVERY": 4.0, "VISUALIZATION_EVERY": 0.5, "METRICS_EVERY": 4.0, "FID_N_SAMPLES": 30000,
    "FID_GEN_STD": 0.8, "SAMPLE_BASE_SIGMA": 0.8,
}  # fmt: skip


def published_tree(options, **general):
    """The published layout of a network's settings: capitals, a tree for the top, separators."""
    top = {k.upper(): v for k, v in options.published["endblock_settings"].items()} | {
        "---": "",
        "SWAP_GS_POINT": [256],
    }
    model = {k.upper(): v for k, v in options.published.items() if k != "endblock_settings"}
    return {
        "GENERAL": GENERAL | general,
        "MODEL_PARAMETERS": model | {"ENDBLOCK_SETTINGS": top},
        "OUTPUT": OUTPUT,
    }


@pytest.mark.parametrize("name", PRESETS)
def test_presets_resolve_to_what_they_always_were(name):
    expected = PRESETS["hflow_128"] | PRESETS[name]
    config = load_config([], f"configs/{name}.yaml")
    assert {key: config[key] for key in expected} == expected


def test_the_name_alone_is_the_published_model():
    config = load_config(["--model=hflow"])
    assert {key: config[key] for key in PRESETS["hflow_128"]} == PRESETS["hflow_128"]


@pytest.mark.parametrize(("preset", "latents"), [("128", 74752), ("256", 271360), ("tiny", 4640)])
def test_presets_have_the_published_latents(preset, latents):
    options = model_options(load_config([], f"configs/hflow_{preset}.yaml"))
    assert sum(int(np.prod(shape)) for shape in options.latent_shapes) == latents


@pytest.mark.parametrize(
    ("preset", "sizes"),
    [("128", (9_179_284, 35_582_742, 29_013_410)), ("256", (10_425_236, 37_943_062, 29_013_410))],
)
def test_presets_have_the_published_parameters(preset, sizes):
    """73,775,436 and 77,381,708 in all, and the published sums of encoders, decoders and the rest."""
    counts = dict.fromkeys(("conv_e", "conv_d", "rest"), 0)
    for name, p in named_parameters(HFlow(model_options(load_config([], f"configs/hflow_{preset}.yaml")))).items():
        counts[next((kind for kind in ("conv_e", "conv_d") if f".{kind}" in name), "rest")] += p.size
    assert tuple(counts.values()) == sizes
    assert sum(sizes) == {"128": 73_775_436, "256": 77_381_708}[preset]


def test_published_settings_and_options_are_the_same_network():
    config = load_config([], "configs/hflow_128.yaml")
    options = model_options(config)
    tree = published_tree(options)
    flat = flat_options(tree)
    assert {key: config[key] for key in flat} == flat
    assert from_published(tree) == options
    assert options.levels[0].splits == ("blocks", "blocks", "channels", "channels")


def test_a_published_preset_is_ours():
    """Every value of the published file, under a name that the options know, is that of our preset."""
    config = load_config([], "configs/hflow_128.yaml")
    # as the file is read: text, then a tree
    values = preset_options(json.loads(json.dumps(published_tree(model_options(config)))), "config_A_128.json")
    schema = config.schema
    found = {schema.find(key, "").name: schema.find(key, "").check(value, "") for key, value in values.items()}
    assert found == {key: config[key] for key in found}
    assert found.keys() >= {"lr", "clip_norm", "niter", "images_every_hours", "fid_gen_std", "endblock_layers"}
    assert preset_options(config.to_dict(), "x") is None


def test_a_published_file_is_a_preset(tmp_path):
    """The command that is printed, with the file that comes with it."""
    path = tmp_path / "config_A_128.json"
    tree = published_tree(model_options(load_config([], "configs/hflow_128.yaml")), EPOCHS=7)
    path.write_text(json.dumps(tree, indent=4))
    description, config = read_command(TRAIN, ["--config", str(path), "--name", "cats"])
    ours = read_command(TRAIN, ["--config_path", "configs/hflow_128.yaml", "--niter=7", "--name", "cats"])[1]
    assert description.name == "hflow" and config.to_dict() == ours.to_dict()


@pytest.mark.parametrize(
    ("general", "message"),
    [
        ({"RESIZE_DATA_TO": 256}, "RESIZE_DATA_TO 256 is not the first of RESOLUTIONS"),
        ({"NUM_GPUS": 8}, "the argument of scripts/distribute_train_hflow"),
        ({"DATASET_NAME": "cats"}, "--data_root DATASET_PATH/DATASET_NAME"),
        ({"LOAD_CHECKPOINT": "x"}, "--load_pretrain FOLDER"),
        ({"LEARNING_RATES": 1}, "unknown option learning_rates"),
    ],
)
def test_published_presets_that_ask_for_something_else(general, message):
    tree = published_tree(model_options(load_config([], "configs/hflow_128.yaml")), **general)
    schema = load_config(["--model=hflow"]).schema
    with pytest.raises(UserError, match=message):
        for key in preset_options(tree, "x.json"):
            schema.find(key, "x.json: ")


def test_published_settings_without_a_key():
    tree = published_tree(model_options(load_config([], "configs/hflow_128.yaml")))
    del tree["MODEL_PARAMETERS"]["COND_OUT_C"], tree["MODEL_PARAMETERS"]["ENDBLOCK_SETTINGS"]["LAYERS"]
    with pytest.raises(UserError, match="lack cond_out_c, layers"):
        flat_options(tree)


@pytest.mark.parametrize(
    ("program", "words", "name", "value"),
    [
        (TRAIN, ["--learning_rate", "0.1"], "lr", 0.1),
        (TRAIN, ["--epochs", "3"], "niter", 3),
        (TRAIN, ["--grad_clip", "7"], "clip_norm", 7.0),
        (TRAIN, ["--images_every_hours", "2"], "images_every_hours", 2.0),
        (TRAIN, ["--visualization_every", "2"], "images_every_hours", 2.0),
        (EVAL, ["--path_to_img1", "a.png"], "image_a", "a.png"),
        (EVAL, ["--path_to_img2", "b.png"], "image_b", "b.png"),
        (EVAL, ["--n_steps", "5"], "n_steps", 5),
        (EVAL, ["--sample_std", "0.6"], "sample_std", 0.6),
    ],
)
def test_published_options_are_understood(program, words, name, value):
    assert read_command(program, ["--model=hflow", *words])[1][name] == value


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        (TRAIN, ["--data_path", "d"], "--data_root DATA_PATH/DATA_NAME"),
        (TRAIN, ["--data_name", "d"], "--data_root DATA_PATH/DATA_NAME"),
        (TRAIN, ["--continue_folder", "d"], "--continue_train True"),
        (EVAL, ["--path", "d"], "--load_ckpt FOLDER"),
    ],
)
def test_published_options_without_an_equal_say_what_to_do(program, words, message):
    with pytest.raises(UserError, match=message):
        read_command(program, ["--model=hflow", *words])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolutions": [96, 16]}, r"the coarsest of resolutions \[96, 16\] is not 8"),
        ({"resolutions": []}, r"the coarsest of resolutions \[\] is not 8"),
        ({"resolutions": [96, 8]}, "resolution 8 cannot follow 96"),
        ({"num_layers": [3, 2]}, "3 flow steps cannot be divided"),
        ({"channels": [1, 8]}, "cannot be split by channels"),
        ({"flow_split_types": ["diagonal", "channels"]}, "'diagonal' is not one of"),
        ({"flow_split_types": ["third-c", "channels"]}, "'third-c' is not one of"),
        ({"flow_split_types": ["channels", "hblocks-lblocks-blocks-channels"], "num_layers": [2, 4]}, "hblocks needs"),
        ({"flow_split_types": ["vhalfs", "channels"], "pooling_type": ["", ""]}, "vhalfs needs pooled couplings"),
        ({"pooling_type": ["blocks_only_third-c", "unet"]}, "third-c has no effect beside blocks_only"),
        ({"pooling_type": ["unet_third-c", "unet"], "rnvp_channels": [4, 8]}, "leaves nothing of rnvp_channels 4"),
        ({"pooling_type": ["blocks_only_halved", "unet"]}, "'blocks_only_halved' is not made of the flags"),
        ({"augmentation_types": ["NOISE_NOSTYLE", "NOISE"]}, "'NOISE_NOSTYLE' is not made of the flags"),
        ({"rnvp_kernel_sizes": [3, 2]}, "rnvp_kernel_sizes 2 is even"),
        ({"unet_n_downscales": [4, 1]}, "leave 1"),
        ({"prior_stds": [1.0]}, "prior_stds has 1 entries for 2"),
        ({"endblock_endres": 2}, "endres 2"),
        ({"endblock_channels": [31, -1]}, "parts"),
        ({"endblock_layers": [2]}, r"layers \[2\] of the top does not have 2 entries"),
        ({"endblock_channels": []}, "of the top does not have 1 entries"),
        ({"endblock_mask_for_base_ind": [0]}, r"mask_for_base_ind \[0\] of the top does not have 2 entries"),
        ({"precision": "fp16"}, "precision fp16"),
    ],
)
def test_networks_that_cannot_be(changes, message):
    with pytest.raises(UserError, match=message):
        HFlowSystem(small_config(**changes), training=False)


def test_a_third_of_the_width_is_a_flag_of_the_pooling():
    """As published: couplings that are pooled everywhere have a third of their channels."""
    widths = []
    for pooling in ("unet", "unet_third-c"):
        options = model_options(small_config(pooling_type=[pooling, "unet"]))
        widths.append([step.coupling.conv_2.w.shape[0] for step in HFlow(options).blocks[0].blocks.steps])
    assert widths == [[12] * 4, [4] * 4]
