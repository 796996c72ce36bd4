"""Presets of the flows, and the command line of the published code: every name and option means something here."""

import shlex
import subprocess
import sys

import pytest

from src.options.owner import ROOT
from src.systems.glow.flow import draws_labels
from src.systems.programs import EVAL, TRAIN, load_config, read_command
from src.systems.registry import find_system
from src.utils.errors import UserError
from tests.tiny_runs import make_streets

#: what all presets of the flows share unless they say otherwise
SHARED = {
    "data_root": "./datasets/cityscapes", "dataset": "cityscapes", "mapping": "label2photo", "label_nc": 35,
    "label_resize": "bilinear", "img_size": [256, 256], "condition_nc": 3, "image_nc": 3, "n_block": 4,
    "n_flow": [8, 8, 8, 8], "batch_size": 1, "lr": 1e-4, "lr_policy": "linear", "beta1": 0.9, "beta2": 0.999,
    "niter": 100, "niter_decay": 100, "max_iter": 0, "clip_norm": 0.0, "accumulation": 1, "reg_factor": 1e-4,
    "recompute": True, "reconstruct": False, "drift_freq": 100, "drift_tolerance": 1e-3, "print_freq": 100,
    "display_freq": 500, "save_latest_freq": 1000, "save_epoch_freq": 10, "keep_last": 3, "task": "sample", "temp": 1.0,
    "n_samples": 1, "how_many": 0, "frames": 10, "levels": [0], "content": "", "structure": "", "predictions": "",
    "check_invertible": False, "seed": 0, "precision": "fp32", "max_dataset_size": 0,
}  # fmt: skip
CGLOW = {
    "model": "cglow", "x_hidden_size": 26, "x_hidden_channels": 52, "y_hidden_channels": 104, "cond_init": "reference",
}  # fmt: skip
DUALGLOW = {
    "model": "dualglow", "n_flow": [16] * 4, "reg_factor": 1e-3, "lr_policy": "constant", "temp": 0.7,
    "coupling_filters": 512,
}  # fmt: skip
FULLGLOW = {
    "model": "fullglow", "do_lu": True, "use_bmaps": False, "do_ceil": False, "coupling_filters": 512,
    "scale_limit": 0.0,
}  # fmt: skip
MNIST = {
    "data_root": "./datasets/mnist", "dataset": "mnist", "mapping": "label2digit", "img_size": [24, 24],
    "condition_nc": 10, "image_nc": 1, "batch_size": 128, "max_iter": 100000, "temp": 0.7,
}  # fmt: skip
FASHION = MNIST | {
    "data_root": "/usr/share/datasets/fashion-mnist", "records_dir": "./datasets/fashion_records", "n_block": 2,
    "n_flow": [4] * 2, "batch_size": 32, "lr": 1e-3, "lr_policy": "cosine", "max_iter": 1500, "recompute": False,
    "print_freq": 1600, "display_freq": 32000, "save_latest_freq": 8000,
}  # fmt: skip
PRESETS = {
    "cglow": CGLOW,
    "cglow_mnist": CGLOW | MNIST | {"n_block": 3, "n_flow": [32] * 3, "cond_init": "fixed"},
    "cglow_v1": CGLOW | {"n_block": 3, "n_flow": [8] * 3},
    "cglow_v2": CGLOW | {"x_hidden_size": 10, "x_hidden_channels": 20, "y_hidden_channels": 512, "n_flow": [16] * 4},
    "cglow_v1_fashion": CGLOW
    | FASHION
    | {"x_hidden_size": 13, "x_hidden_channels": 26, "y_hidden_channels": 13, "n_flow": [2] * 2}
    | {"lr": 3e-3},
    "cglow_v2_fashion": CGLOW
    | FASHION
    | {"x_hidden_size": 10, "x_hidden_channels": 20, "y_hidden_channels": 64, "lr": 3e-3},
    "dualglow": DUALGLOW,
    "dualglow_fashion": DUALGLOW | FASHION | {"coupling_filters": 64},
    "fullglow": FULLGLOW,
    "fullglow_cityscapes_256": FULLGLOW,
    "fullglow_cityscapes_256_bmaps": FULLGLOW | {"n_flow": [16] * 4, "use_bmaps": True},
    "fullglow_cityscapes_256_deep": FULLGLOW | {"n_flow": [16] * 4, "max_iter": 136000},
    "fullglow_cityscapes_512": FULLGLOW | {"img_size": [512, 1024], "temp": 0.9},
    "fullglow_cityscapes_512_deep": FULLGLOW
    | {"img_size": [512, 1024], "n_flow": [10] * 4, "max_iter": 276000, "temp": 0.9},
    "fullglow_fashion": FULLGLOW | FASHION | {"coupling_filters": 64, "scale_limit": 2.0},
    "fullglow_maps": FULLGLOW
    | {"data_root": "./datasets/maps", "dataset": "maps", "mapping": "map2photo", "n_flow": [16] * 4},
    "fullglow_mnist": FULLGLOW | MNIST | {"n_block": 2, "n_flow": [32] * 2},
    "fullglow_streets": FULLGLOW
    | {"data_root": "./datasets/simulated_squares", "dataset": "pairs", "img_size": [40, 40], "n_block": 3}
    | {"n_flow": [3, 4, 4], "coupling_filters": 64, "scale_limit": 2.0, "batch_size": 4, "lr": 1e-3}
    | {"lr_policy": "cosine", "niter": 18, "niter_decay": 0, "recompute": False, "temp": 0.85}
    | {"print_freq": 400, "display_freq": 2000, "save_latest_freq": 4000},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_mean_what_they_always_did(preset):
    config = load_config([], f"configs/{preset}.yaml")
    wanted = SHARED | {"name": preset} | PRESETS[preset]
    assert {key: config[key] for key in wanted} == wanted


def test_every_preset_is_listed():
    files = {path.stem for model in ("fullglow", "cglow", "dualglow") for path in ROOT.glob(f"configs/{model}*.yaml")}
    assert files == PRESETS.keys()


@pytest.mark.parametrize("mapping, labels", [("label2photo", False), ("photo2label", True), ("bmap2label", True)])
def test_images_that_are_label_maps_are_scored_as_colours(mapping, labels):
    """Whatever they were made from; the condition itself does not matter."""
    assert draws_labels(load_config(["--model", "fullglow", "--mapping", mapping])) == labels


# -- the published command line ----------------------------------------------------------------------------------------

README = shlex.split(
    "--model improved_so_large_longer --img_size 512 1024 --n_block 4 --n_flow 8 8 8 8 --do_lu --reg_factor 0.0001 "
    "--grad_checkpoint --dataset cityscapes --direction label2photo"
)


def test_the_published_training_command_is_understood():
    description, config = read_command(TRAIN, README)
    wanted = {
        "model": "fullglow", "img_size": [512, 1024], "n_block": 4, "n_flow": [8, 8, 8, 8], "do_lu": True,
        "reg_factor": 1e-4, "recompute": True, "dataset": "cityscapes", "mapping": "label2photo", "lr": 1e-4,
    }  # fmt: skip
    assert description.name == "fullglow"
    assert {key: config[key] for key in wanted} == wanted


def test_the_published_training_command_trains(tmp_path):
    """As it is printed, and made tiny by what follows."""
    data = make_streets(tmp_path / "data", train=2, test=0)
    tiny = (
        f"--img_size 12 24 --n_block 1 --n_flow 1 --dataset pairs --data_root {data} --max_step 1 --bsize 1 "
        f"--coupling_filters 8 --checkpoints_dir {tmp_path} --device_target CPU --mode pynative"
    ).split()
    done = subprocess.run([sys.executable, ROOT / "train.py", *README, *tiny], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fullglow" / "manifest.json").is_file()


NAMES = {
    "improved_1": {"n_flow": [16], "max_iter": 136000},
    "improved_1_regular_lu_lambda_0.0001": {"n_flow": [16], "max_iter": 136000},
    "improved_2": {"n_flow": [32, 16, 8, 8]},
    "improved_so": {"n_flow": [8, 8, 8, 8]},
    "improved_so_large": {"img_size": [512, 1024], "n_flow": [10], "max_iter": 276000, "temp": 0.9},
    "improved_so_large_longer": {"img_size": [512, 1024], "n_flow": [8, 8, 8, 8], "temp": 1.0},
    "improved_so_bmaps": {"use_bmaps": True, "do_ceil": False},
    "improved_so_bmaps_ceil": {"use_bmaps": True, "do_ceil": True},
    "Improved_3": {"use_bmaps": False},
    "c_glow": {"x_hidden_size": 16, "x_hidden_channels": 32, "y_hidden_channels": 32, "n_flow": [16], "n_block": 4},
    "c_glow_v2": PRESETS["cglow_v1"],
    "c_glow_v3": PRESETS["cglow_v2"] | {"n_flow": [16]},
    "dual_glow": DUALGLOW,
    "dual_glow_shallow": DUALGLOW | {"n_flow": [2]},
}


@pytest.mark.parametrize("name", NAMES)
def test_published_names_stand_for_their_options(name):
    model = "cglow" if name.startswith("c_") else "dualglow" if name.startswith("dual") else "fullglow"
    assert find_system(name).name == model
    config = load_config(["--model", name])
    assert {key: config[key] for key in NAMES[name]} == NAMES[name]
    # what is typed counts more than the name
    assert load_config(["--model", name, "--n_flow", "3"]).n_flow == [3]


#: published options of training with a value, and ours
UNDERSTOOD = {
    TRAIN: {
        "dataset maps": ("dataset", "maps"), "direction photo2label": ("mapping", "photo2label"),
        "reg_factor 0.5": ("reg_factor", 0.5), "n_block 3": ("n_block", 3), "n_flow 32 16 8": ("n_flow", [32, 16, 8]),
        "img_size 64 128": ("img_size", [64, 128]), "bsize 4": ("batch_size", 4), "lr 0.01": ("lr", 0.01),
        "temp 0.5": ("temp", 0.5), "sample_freq 7": ("display_freq", 7), "checkpoint_freq 8": ("save_latest_freq", 8),
        "max_step 9": ("max_iter", 9), "n_samples 5": ("n_samples", 5), "do_lu": ("do_lu", True),
        "grad_checkpoint": ("recompute", True), "use_bmaps": ("use_bmaps", True), "do_ceil": ("do_ceil", True),
        "resume_train": ("continue_train", True),
    },
    EVAL: {
        "dataset maps": ("dataset", "maps"), "direction bmap2label": ("mapping", "bmap2label"),
        "bsize 4": ("batch_size", 4), "img_size 64 128": ("img_size", [64, 128]), "n_block 3": ("n_block", 3),
        "n_flow 8": ("n_flow", [8]), "temp 0.5": ("temp", 0.5), "n_samples 5": ("n_samples", 5),
        "do_lu": ("do_lu", True), "use_bmaps": ("use_bmaps", True), "do_ceil": ("do_ceil", True),
        "test_invertibility": ("check_invertible", True), "split_set val": ("phase", "val"),
    },
}  # fmt: skip
#: published options without an equal here: what takes their place is said
GONE = (
    "val_freq", "no_validation", "last_optim_step", "use_comet", "prev_exp_id", "limited", "local", "run", "image_name",
    "create_boundaries", "create_tf_records", "investigate_dual_glow", "exp", "infer_on_set", "resize_for_fcn",
    "infer_dual_glow", "random_samples", "new_condition", "interp", "new_cond", "resample", "sample_c_flow",
    "compute_val_bpd", "eval_fcn", "eval_ssim", "eval_complete", "sampling_round", "all_sampling_rounds", "gt",
    "left_step", "left_lr", "left_pretrained", "left_cond", "w_conditional", "act_conditional", "coupling_cond_net",
    "train_on_segment", "sanity_check", "seg_image", "infer_and_evaluate_c_glow", "infer_and_evaluate_dual_glow",
    "conditional", "syn_segs", "trials",
)  # fmt: skip
ELSEWHERE = {
    TRAIN: ("test_invertibility", "split_set"),
    EVAL: ("reg_factor", "grad_checkpoint", "max_step", "resume_train", "sample_freq", "checkpoint_freq"),
}


@pytest.mark.parametrize("program", UNDERSTOOD, ids=lambda program: program.roles[0])
def test_published_options_are_understood(program):
    for words, (option, value) in UNDERSTOOD[program].items():
        _, config = read_command(program, ["--model", "improved_so", *f"--{words}".split()])
        assert config[option] == value, words
        assert option in config.explicit


@pytest.mark.parametrize("model", ["fullglow", "cglow", "dualglow"])
@pytest.mark.parametrize("program", ELSEWHERE, ids=lambda program: program.roles[0])
def test_published_options_that_are_gone_say_what_to_do(program, model):
    for name in (*GONE, *ELSEWHERE[program]):
        with pytest.raises(UserError, match=rf"unknown option --{name} \(no longer there: \w.*\)"):
            read_command(program, ["--model", model, f"--{name}"])
