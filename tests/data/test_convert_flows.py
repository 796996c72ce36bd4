"""Published weights of conditional flows become checkpoints that evaluation opens, or say what they are."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from src.models.parameters import load_arrays
from src.options.owner import ROOT
from src.runs.checkpoints import CheckpointStore
from src.systems.glow.published import CGlowWeights, FullGlowWeights
from src.systems.programs import load_config
from src.systems.registry import create_system
from src.utils.errors import UserError
from src.utils.pth import read_pth
from tests.torch_files import Tensor, save_zip, state_dict

REFERENCE = ROOT / "tests" / "reference"

spec = importlib.util.spec_from_file_location("convert_flows", ROOT / "data" / "convert_checkpoint.py")
convert_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert_checkpoint)

FULLGLOW = (
    "--config_path", "configs/fullglow.yaml", "--name", "published", "--img_size", "[32,32]", "--n_block", "2",
    "--n_flow", "[2,2]", "--coupling_filters", "32",
)  # fmt: skip
CGLOW = (
    "--config_path", "configs/cglow.yaml", "--name", "published", "--img_size", "[32,32]", "--n_block", "2",
    "--n_flow", "[2,2]", "--x_hidden_size", "8", "--x_hidden_channels", "6", "--y_hidden_channels", "12",
)  # fmt: skip


def converted(words, source):
    """The bits per dimension of a reference's images under weights that were converted and read back."""
    assert convert_checkpoint.main(["--source", str(source), "--network", "glow", *words]) == 0
    config = load_config(words)
    system = create_system(config, training=False)
    saved = CheckpointStore(config.save_ckpt_dir + "/published").load("latest", with_state=False)
    load_arrays(system.networks["glow"], saved.networks["glow"])
    return system


def test_fullglow_as_its_trainer_saved_it(tmp_path):
    """The published trainer keeps the weights beside loss, rate and optimizer."""
    folder = REFERENCE / "fullglow_lu"
    weights = state_dict(**{name: Tensor(array) for name, array in read_pth(folder / "model.pth").items()})
    path = tmp_path / "optim_step=136000.pt"
    save_zip(path, {"loss": 2.3, "lr": 1e-4, "model_state_dict": weights, "optimizer_state_dict": {"param_groups": []}})
    io = np.load(folder / "io.npz")
    bits_a, bits_b, _ = converted(FULLGLOW, path).analyse(io["x_a"] + io["noise_a"], io["x_b"] + io["noise_b"])
    np.testing.assert_allclose([bits_a.mean(), bits_b.mean()], [io["bpd_left"], io["bpd_right"]], rtol=1e-5)


def test_cglow():
    folder = REFERENCE / "cglow_small_b2"
    io = np.load(folder / "io.npz")
    _, bits, _ = converted(CGLOW, folder / "model.pth").analyse(io["x"], io["y"])
    np.testing.assert_allclose(bits, io["bpd"], rtol=1e-5)


def test_options_are_read_from_the_weights():
    full, c = FullGlowWeights(), CGlowWeights()
    for name, weights in (("fullglow_lu", full), ("fullglow_plain_bmaps_b2", full), ("cglow_small_b2", c)):
        folder = REFERENCE / name
        published = ast.literal_eval(str(np.load(folder / "io.npz")["options"]))
        found = weights.options("glow", read_pth(folder / "model.pth"))
        known = published | {"img_size": published.get("y_size", (0, 0, 0))[1:], "n_block": published.get("num_levels")}
        known |= {"n_flow": [published.get("flow_depth")] * 2} if "flow_depth" in published else {}
        known |= {key: published[key] for key in ("n_block", "n_flow") if key in published}
        assert len(found) >= 7 and found["image_nc"] == found["condition_nc"] == 3
        for key in set(found) & set(known):
            value = ast.literal_eval(found[key]) if isinstance(found[key], str) else found[key]
            assert value == (list(known[key]) if isinstance(known[key], (list, tuple)) else known[key]), (name, key)


def test_weights_of_something_else_tell_no_options():
    nothing = np.zeros(3)
    left, right = "left_glow.blocks.0.flows.0", "right_glow.blocks.0.flows.0"
    condition, coupling = "act_norm.cond_net.conv_net.conv_net.0.weight", "coupling.net.4.conv.weight"
    for names in (
        ("conv.weight",),
        ("new_mean", "flow.layers.1.affine.f.0.weight"),
        (f"{left}.act_norm.loc", f"{right}.{condition}", f"{right}.{coupling}"),
    ):
        for weights in (FullGlowWeights(), CGlowWeights()):
            assert weights.options("glow", dict.fromkeys(names, nothing)) == {}


def test_weights_that_do_not_fit_are_explained():
    source = ["--network", "glow", "--source", str(REFERENCE / "fullglow_lu" / "model.pth")]
    with pytest.raises(UserError, match=r"another image size.*reads 288 values.*--img_size 32 64\."):
        convert_checkpoint.main([*source, *FULLGLOW, "--img_size", "[32,64]"])
    with pytest.raises(UserError, match=r"(?s)They look like --n_block 2 --n_flow \[2,2\].*--do_lu True.*_filters 32"):
        convert_checkpoint.main([*source, *FULLGLOW, "--do_lu", "False"])
    assert not Path("checkpoints").exists()
