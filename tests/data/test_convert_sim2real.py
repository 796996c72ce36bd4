"""Published CycleGAN, CUT and Hierarchy Flow weights become checkpoints."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from src import load
from src.models.cyclegan.networks import PatchDiscriminator, ResnetGenerator
from src.models.parameters import init_weights, state_arrays
from src.utils.errors import UserError
from src.utils.weights import read_weights

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("convert_checkpoint", ROOT / "data" / "convert_checkpoint.py")
command = importlib.util.module_from_spec(spec)
spec.loader.exec_module(command)


def published(path, cell, seed):
    init_weights(cell, seed=seed)
    arrays = state_arrays(cell)
    # as a data-parallel wrapper and instance norms of old PyTorch versions wrote them
    saved = {f"module.{name}": value for name, value in arrays.items()}
    saved["module.model.2.running_mean"] = np.zeros(4, np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(saved, path)
    return arrays


def test_a_folder_of_the_original_code(tmp_path):
    """Its D_A judges translations of A, which are images of B."""
    cells = {
        "G_A": ResnetGenerator(3, 4, 1, "transposed"),
        "G_B": ResnetGenerator(3, 4, 1, "transposed"),
        "D_A": PatchDiscriminator(3, 4, 70),
        "D_B": PatchDiscriminator(3, 4, 70),
    }
    theirs = {
        name: published(tmp_path / "run" / f"latest_net_{name}.safetensors", cell, seed)
        for seed, (name, cell) in enumerate(cells.items())
    }
    options = ["--config_path", "configs/cyclegan_junyanz.yaml", "--ngf", "4", "--ndf", "4", "--n_residual_blocks", "1"]
    command.main(["--source", str(tmp_path / "run"), *options, "--save_ckpt_dir", str(tmp_path), "--name", "ours"])
    for ours, name in (("G_AB", "G_A"), ("G_BA", "G_B"), ("D_B", "D_A"), ("D_A", "D_B")):
        converted = load_file(tmp_path / "ours" / f"latest_net_{ours}.safetensors")
        assert converted.keys() == theirs[name].keys()
        for key, value in converted.items():
            np.testing.assert_array_equal(value, theirs[name][key])


def test_options_that_do_not_fit_are_named(tmp_path):
    file = tmp_path / "latest_net_G_A.safetensors"
    published(file, ResnetGenerator(3, 4, 2, "transposed"), 0)
    with pytest.raises(UserError, match="--upsampling transposed --n_residual_blocks 2 --ngf 4 --input_nc 3"):
        command.main(
            ["--source", str(file), "--config_path", "configs/cyclegan.yaml", "--save_ckpt_dir", str(tmp_path)]
        )


def test_a_folder_of_cut(tmp_path):
    """As the published code saved it: the filters of anti-aliasing are in the files, and constants here."""
    published = ROOT / "tests" / "reference" / "cut_small"
    for name in "GFD":
        (tmp_path / "theirs").mkdir(exist_ok=True)
        shutil.copy(published / f"{name}.pth", tmp_path / "theirs" / f"latest_net_{name}.pth")
    words = [
        "--source",
        str(tmp_path / "theirs"),
        "--config_path",
        "configs/cut.yaml",
        "--save_ckpt_dir",
        str(tmp_path),
    ]
    with pytest.raises(UserError, match="--n_residual_blocks 6 --ngf 4 --input_nc 3"):
        command.main([*words, "--name", "ours"])
    small = ["--ngf", "4", "--ndf", "4", "--n_residual_blocks", "6", "--netF_nc", "16"]
    command.main([*words, "--name", "ours", *small])
    for name in "GFD":
        converted = load_file(tmp_path / "ours" / f"latest_net_{name}.safetensors")
        theirs = read_weights(published / f"{name}.pth")
        assert converted.keys() == {key for key in theirs if not key.endswith(".filt")}
        for key, value in converted.items():
            np.testing.assert_array_equal(value, theirs[key])
    with np.load(published / "io.npz") as io:
        made = load(tmp_path / "ours", device_target="CPU", mode="pynative").run({"A": io["real_A"]})
        np.testing.assert_allclose(made["fake_B"], io["fake_B"], atol=1e-4)


def test_a_training_checkpoint_of_hierarchy_flow(tmp_path):
    folder = ROOT / "tests" / "reference" / "hierarchyflow_learned"
    options = ["--config_path", "configs/hierarchyflow.yaml", "--out_channels", "[12,48]", "--pad_size", "4"]
    command.main(["--source", str(folder / "model.pth"), *options, "--save_ckpt_dir", str(tmp_path), "--name", "ours"])
    converted = load_file(tmp_path / "ours" / "latest_net_HF.safetensors")
    assert converted["blocks.0.fixed_weight"].shape == ()
