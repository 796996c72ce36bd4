"""Published weights become checkpoints of ours, or a readable list of differences; nothing in between."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from src import load
from src.models.parameters import state_arrays
from src.models.vgg import VGG19, load_vgg
from src.runs.checkpoints import CheckpointStore
from src.utils.errors import UserError
from src.utils.pth import read_pth
from tests.reference_checks import load_io, recipe_weights
from tests.torch_files import Tensor, save_legacy, save_zip, state_dict

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "tests" / "reference"
SCRIPT = ROOT / "data" / "convert_checkpoint.py"
CYCLEGAN = ROOT / "configs" / "cyclegan.yaml"
ARCHITECTURE = [
    "ngf",
    "n_downsample_global",
    "n_blocks_global",
    "n_blocks_local",
    "n_downsample_E",
    "nef",
    "num_D",
    "ndf",
    "netG",
]

spec = importlib.util.spec_from_file_location("convert_checkpoint", SCRIPT)
convert_checkpoint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(convert_checkpoint)


def options(folder, *more):
    """Command line options of a reference folder's networks."""
    published = ast.literal_eval(load_io(folder)[1])
    keys = [*ARCHITECTURE, "instance_feat", "no_lsgan", "no_ganFeat_loss"]
    words = [word for key in keys for word in (f"--{key}", str(published[key]))]
    return [*words, "--save_ckpt_dir", "checkpoints", "--name", "run", *more]


def convert(*words):
    return convert_checkpoint.main([str(word) for word in words])


def test_one_network_as_a_command(working_folder):
    """The process reads, converts and says where the result lies; no torch, no VGG weights."""
    folder = REFERENCE / "pix2pixhd_local"
    words = ["--source", str(folder / "net_G.pth"), *options(folder)]
    result = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "net_G.pth: 38 arrays" in result.stdout
    assert "checkpoints/run/latest_net_G.safetensors" in result.stdout
    checkpoint = CheckpointStore(working_folder / "checkpoints" / "run").load(system="pix2pixHD")
    published = read_pth(folder / "net_G.pth")
    assert checkpoint.networks["G"].keys() == published.keys()
    for name, array in published.items():
        np.testing.assert_array_equal(checkpoint.networks["G"][name], array)
    assert checkpoint.config["netG"] == "local" and checkpoint.config["ngf"] == 4
    before = (working_folder / "checkpoints/run/latest_net_G.safetensors").read_bytes()
    with pytest.raises(UserError, match="already holds latest_net_G.safetensors, which is not overwritten"):
        convert(*words)
    assert (working_folder / "checkpoints/run/latest_net_G.safetensors").read_bytes() == before


def test_a_folder_of_an_epoch(tmp_path, capsys):
    """All three networks of one epoch; the result builds the system that its configuration describes."""
    folder = REFERENCE / "pix2pixhd_global_feat"
    (tmp_path / "published").mkdir()
    for name in "GDE":
        (tmp_path / "published" / f"200_net_{name}.pth").write_bytes((folder / f"net_{name}.pth").read_bytes())
    (tmp_path / "published" / "latest_net_G.pth").write_bytes(b"not this one")
    assert convert("--source", "published", "--which_epoch", "200", *options(folder)) == 0
    assert "note" not in capsys.readouterr().out
    checkpoint = CheckpointStore("checkpoints/run").load("200")
    assert sorted(checkpoint.networks) == ["D", "E", "G"] and checkpoint.position.epoch == 200
    model = load("checkpoints/run", "200", "CPU", "pynative")
    for name, cell in model.system.networks.items():
        for key, array in state_arrays(cell).items():
            np.testing.assert_array_equal(array, checkpoint.networks[name][key])


def test_what_is_missing_is_said(tmp_path, capsys):
    folder = REFERENCE / "pix2pixhd_global_feat"
    convert("--source", folder / "net_G.pth", *options(folder))
    assert "note: some uses also need E, which" in capsys.readouterr().out
    judge_alone = REFERENCE / "pix2pixhd_global"
    convert("--source", judge_alone / "net_D.pth", *options(judge_alone, "--which_epoch", "3"))
    assert "note: translation also needs G, which" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"holds no 7_net_G\.pth.*it holds other\.pth: pass another --which_epoch"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "other.pth").touch()
        convert("--source", tmp_path / "empty", "--which_epoch", "7", *options(folder))


@pytest.mark.parametrize("key, value", [("ngf", 16), ("netG", "local"), ("n_blocks_global", 2), ("label_nc", 20)])
def test_a_wrong_option_lists_the_differences_and_writes_nothing(tmp_path, key, value):
    folder = REFERENCE / "pix2pixhd_global"
    words = options(folder)
    with pytest.raises(UserError) as error:
        convert("--source", folder, *words, f"--{key}", value)  # of one option given twice the last counts
    text = str(error.value)
    assert "does not fit the network these options describe" in text and "net_G.pth" in text
    assert len(text.splitlines()) <= 24
    assert {
        "ngf": "model.1.weight: network (16, 36, 7, 7), file (8, 36, 7, 7)",
        "netG": "model.1.weight: network (16, 36, 7, 7), file (8, 36, 7, 7)",
        "n_blocks_global": "model.15.conv_block.1.weight: in the file, but the network has no such parameter",
        "label_nc": "model.1.weight: network (8, 21, 7, 7), file (8, 36, 7, 7)",
    }[key] in text
    assert not (tmp_path / "checkpoints").exists()


def test_one_bad_network_of_a_folder_leaves_nothing_behind(tmp_path):
    folder = REFERENCE / "pix2pixhd_global"
    with pytest.raises(UserError, match=r"net_D\.pth does not fit"):
        convert("--source", folder, *options(folder), "--ndf", "16")
    assert not (tmp_path / "checkpoints").exists()


def reference_generator():
    """Published weights of a small generator, and the options of its network."""
    folder = REFERENCE / "cyclegan_small"
    options = ast.literal_eval(load_io(folder)[1])
    words = ["--ngf", options["base_channels"], "--n_residual_blocks", options["n_residual_blocks"]]
    words += ["--config_path", CYCLEGAN, "--save_ckpt_dir", ".", "--name", "run"]
    return read_pth(folder / "G_AB.pth"), words


def converted_generator():
    return CheckpointStore("run").load(system="cyclegan").networks["G_AB"]


@pytest.mark.parametrize("start", ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "netG.module."])
def test_names_of_wrappers(start):
    """What compilation, data-parallel training and a training object put in front of every name."""
    published, words = reference_generator()
    save_zip("latest_net_G_AB.pth", state_dict(**{f"{start}{name}": Tensor(a) for name, a in published.items()}))
    convert("--source", "latest_net_G_AB.pth", *words)
    read = converted_generator()
    assert read.keys() == published.keys()
    for name, array in published.items():
        np.testing.assert_array_equal(read[name], array)


def test_checkpoints_of_mindspore(tmp_path):
    """A .ckpt of save_checkpoint, found in a folder by its name; one of torch.save under that suffix is read, too."""
    published, words = reference_generator()
    (tmp_path / "theirs").mkdir()
    rows = [{"name": name, "data": ms.Tensor(array)} for name, array in published.items()]
    ms.save_checkpoint(rows, "theirs/latest_net_G_A.ckpt")
    convert("--source", "theirs", *words)
    mindspores = converted_generator()
    save_zip(tmp_path / "latest_net_G_A.ckpt", state_dict(**{name: Tensor(a) for name, a in published.items()}))
    convert("--source", "latest_net_G_A.ckpt", *words, "--which_epoch", "2")
    torchs = CheckpointStore("run").load("2").networks["G_AB"]
    for name, array in published.items():
        np.testing.assert_array_equal(mindspores[name], array)
        np.testing.assert_array_equal(torchs[name], array)


def test_weights_of_something_else_are_named_with_their_file(tmp_path):
    """The differences stay, and what the weights are not is said after them."""
    _, words = reference_generator()
    save_zip(tmp_path / "G_AB.pth", state_dict(**{"head.weight": Tensor(np.zeros((2, 2), np.float32))}))
    with pytest.raises(
        UserError, match=r"(?s)G_AB\.pth does not fit.*these weights are not a CycleGAN generator.*head"
    ):
        convert("--source", "G_AB.pth", *words)


def test_options_of_published_weights_are_named():
    folder = REFERENCE / "pix2pixhd_global"
    with pytest.raises(UserError, match=r"They look like --netG global .*--ngf 8 .*--label_nc 35 --norm instance"):
        convert("--source", folder / "net_G.pth", *options(folder), "--ngf", "16")


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict"])
def test_training_checkpoints_and_parallel_wrappers(tmp_path, wrapper):
    published, words = reference_generator()
    inner = state_dict(**{f"module.{name}": Tensor(array) for name, array in published.items()})
    optimizer = {"state": {0: {"exp_avg": Tensor(np.zeros(3, np.float32))}}, "param_groups": [{"lr": 2e-4}]}
    save_zip(tmp_path / "G_AB.pth.tar", {"step": 7, wrapper: inner, "optimizer": optimizer})
    convert("--source", "G_AB.pth.tar", *words)
    read = converted_generator()
    assert read.keys() == published.keys()
    for name, array in published.items():
        np.testing.assert_array_equal(read[name], array)


def test_weights_that_are_of_no_use(tmp_path):
    folder = REFERENCE / "pix2pixhd_global"
    arrays = read_pth(folder / "net_G.pth")
    arrays["model.1.bias"][0] = np.nan
    save_zip(tmp_path / "net_G.pth", {name: Tensor(array) for name, array in arrays.items()})
    with pytest.raises(UserError, match=r"holds 1 NaN or infinite values in model\.1\.bias: .*net_G\.pth is of no"):
        convert("--source", "net_G.pth", *options(folder))
    (tmp_path / "net_G.pth").write_bytes(b"<html>")
    with pytest.raises(UserError, match="web page"):
        convert("--source", "net_G.pth", *options(folder))
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["--name", "x"], "pass either --source FILE_OR_FOLDER or --vgg FILE"),
        (["--source", "nowhere.pth"], r"--source nowhere\.pth does not exist"),
        (["--source", "weights.pth"], r"does not say which network it is: pass --network with one of G, D"),
        (["--source", "weights.pth", "--network", "E"], "has no network E with these options: it has G, D"),
        (["--source", "weights.pth", "--ngff", "3"], "unknown option --ngff; did you mean ngf"),
    ],
)
def test_commands_that_make_no_sense(tmp_path, words, message):
    (tmp_path / "weights.pth").write_bytes((REFERENCE / "pix2pixhd_global" / "net_G.pth").read_bytes())
    small = ["--ngf", "4", "--ndf", "4", "--n_blocks_global", "1"]
    with pytest.raises(UserError, match=message):
        convert(*words, *small)


# ------------------------------------------------------------------ VGG


def vgg_weights():
    shapes = {name: parameter.shape for name, parameter in VGG19().parameters_and_names()}
    return recipe_weights(shapes, 1234)


def test_vgg(tmp_path):
    """torchvision's file: the whole network, in the old layout, double precision here to see the conversion."""
    weights = vgg_weights()
    tree = state_dict(**{f"features.{name}": Tensor(array.astype(np.float64)) for name, array in weights.items()})
    tree["features.30.weight"] = Tensor(np.zeros((2, 2, 3, 3)))
    tree["classifier.0.weight"] = Tensor(np.zeros((4, 4)))
    save_legacy(tmp_path / "vgg19-dcbb9e9d.pth", tree)
    convert("--vgg", "vgg19-dcbb9e9d.pth", "--vgg_pre_trained", "vgg19.safetensors")
    read = load_vgg("vgg19.safetensors")
    for name, parameter in read.parameters_and_names():
        np.testing.assert_array_equal(parameter.asnumpy(), weights[name])
    with pytest.raises(UserError, match=r"vgg19\.safetensors exists already and is not overwritten"):
        convert("--vgg", "vgg19-dcbb9e9d.pth", "--vgg_pre_trained", "vgg19.safetensors")


def test_a_vgg_without_biases(tmp_path, capsys):
    """The model zoo's file, converted and unconverted: zeros are used, and that is said once."""
    weights = {name: array for name, array in vgg_weights().items() if name.endswith("weight")}
    rows = [{"name": f"layers.{name}", "data": ms.Tensor(array)} for name, array in weights.items()]
    ms.save_checkpoint(rows, str(tmp_path / "zoo.ckpt"))
    convert("--vgg", "zoo.ckpt", "--vgg_pre_trained", "vgg19.safetensors")
    for network in (load_vgg("vgg19.safetensors"), load_vgg("zoo.ckpt")):
        for name, parameter in network.parameters_and_names():
            np.testing.assert_array_equal(parameter.asnumpy(), weights.get(name, np.zeros(parameter.shape)))
    assert capsys.readouterr().err.count("zoo.ckpt holds VGG19 without biases") == 1


def test_other_networks_are_no_vgg(tmp_path):
    with pytest.raises(UserError, match=r"torchvision's VGG19 was expected\) does not fit[\s\S]*0\.weight: not in"):
        convert("--vgg", REFERENCE / "pix2pixhd_global" / "net_G.pth", "--vgg_pre_trained", "vgg.safetensors")
    with pytest.raises(UserError, match=r"must end with \.safetensors"):
        convert("--vgg", "vgg.pth", "--vgg_pre_trained", "vgg.pth")
    assert not list(tmp_path.iterdir())
