"""Others' weights under the names of the network itself, whatever wrapped it."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.utils.errors import UserError
from src.utils.pth import read_pth
from src.utils.tensorfile import write_arrays
from src.utils.weights import read_weights, strip_wrappers
from tests import torch_files

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
NAMES = ("model.1.weight", "model.1.bias", "model.10.block.5.weight")


def arrays(*starts, names=NAMES):
    return {start + name: np.float32([k]) for start in starts for k, name in enumerate(names)}


@pytest.mark.parametrize(
    "start",
    [
        "", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module.", "state_dict.",
        "model_state_dict.", "net_state_dict.", "state_dict.module._orig_mod.", "netG.", "netG_A.", "module.netG.",
        "netG.module._orig_mod.", "state_dict._orig_mod.netG.module.", "_fsdp_wrapped_module._orig_mod.",
    ],
)  # fmt: skip
def test_wrappers_of_all_names(start):
    stripped = strip_wrappers(arrays(start))
    assert stripped.keys() == set(NAMES)
    assert [float(stripped[name][0]) for name in NAMES] == [0, 1, 2]


def test_wrappers_of_parts():
    """A network of which one part was compiled, and one trained on several devices."""
    parts = {"encoder._orig_mod.weight": 1, "decoder.module.conv.bias": 2, "head.weight": 3}
    assert strip_wrappers(parts) == {"encoder.weight": 1, "decoder.conv.bias": 2, "head.weight": 3}


def test_what_lies_beside_the_network_is_left_out():
    beside = {"optimizer.state.0.exp_avg": 0, "optimizer_state_dict.state.0.exp_avg": 0, "step": 7}
    assert strip_wrappers(arrays("model_state_dict.") | beside).keys() == set(NAMES)


@pytest.mark.parametrize(
    "names",
    [
        ("model.weight", "moduled.weight", "netG"), ("netG.weight", "netD.weight"), ("netG", "netG.weight"),
        ("network.weight", "network.bias"), ("state_dict",), ("",), (),
    ],
    ids=str,
)  # fmt: skip
def test_names_that_stay(names):
    assert strip_wrappers(dict.fromkeys(names, 0)) == dict.fromkeys(names, 0)


@pytest.mark.parametrize(
    "names",
    [("module.a", "a"), ("a._orig_mod.b", "a.b"), ("module._orig_mod.a", "_orig_mod.module.a"), ("module", "")],
    ids=str,
)
def test_collisions_are_refused(names):
    with pytest.raises(UserError, match=r"w\.pth holds .* which are one parameter"):
        strip_wrappers(dict.fromkeys(names, 0), "w.pth")


def test_several_networks_are_refused():
    with pytest.raises(UserError, match=r"w\.pth holds several networks \(D_state_dict, G_state_dict\)"):
        strip_wrappers(arrays("G_state_dict.", "D_state_dict."), "w.pth")


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*/*.pth")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_published_names_stay(path):
    published = read_pth(path)
    assert list(strip_wrappers(published)) == list(published)


def _torch(save):
    def write(path, weights):
        tensors = {name: torch_files.Tensor(array) for name, array in weights.items()}
        return save(path, torch_files.state_dict(**tensors))

    return write


def _mindspore(path, weights):
    ms.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in weights.items()], str(path))


@pytest.mark.parametrize(
    "name, write",
    [
        ("w.pth", _torch(torch_files.save_zip)), ("w.bin", _torch(torch_files.save_legacy)),
        ("w.ckpt", _torch(torch_files.save_zip)), ("legacy.ckpt", _torch(torch_files.save_legacy)),
        ("w.ckpt", _mindspore), ("w.safetensors", write_arrays),
    ],
    ids=["zip", "legacy", "zip called ckpt", "legacy called ckpt", "mindspore", "safetensors"],
)  # fmt: skip
def test_every_kind_of_file(tmp_path, name, write):
    write(tmp_path / name, arrays("module."))
    read = read_weights(tmp_path / name)
    assert [float(read[key][0]) for key in NAMES] == [0, 1, 2]


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "w.safetensors"])
def test_missing_files(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: it does not exist"):
        read_weights(tmp_path / name)
