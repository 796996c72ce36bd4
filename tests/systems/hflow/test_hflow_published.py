"""Published hflow checkpoints: whole pickled modules are read without running them, and others are refused."""

import io
import json
import pickle
import struct
import sys
import types
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from src.models.hflow.architecture import from_published
from src.models.hflow.network import HFlow
from src.models.parameters import load_arrays, state_arrays
from src.systems.hflow.published import is_published_file, read_published
from src.systems.hflow.system import HFlowSystem
from src.utils.errors import UserError
from src.utils.pth import read_pth
from tests import torch_files

FOLDER = Path(__file__).resolve().parents[2] / "reference" / "hflow_tiny"
SOURCE = b"raise SystemExit('this source was run')\n"


@contextmanager
def classes(*names):
    """Modules and classes that exist while a file is written, so that pickle can refer to them."""
    made, added = {}, set()
    for place in names:
        module, _, name = place.rpartition(".")
        parts = module.split(".")
        for parent in (".".join(parts[: i + 1]) for i in range(len(parts))):
            if parent not in sys.modules:
                sys.modules[parent] = types.ModuleType(parent)
                added.add(parent)
        made[name] = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made[name])
    try:
        yield made
    finally:
        for module in added:
            sys.modules.pop(module, None)


class Pickler(torch_files._Pickler):
    """Classes of modules are stored as persistent ids with their source, as torch.save does once for each."""

    def __init__(self, *arguments, modules=()):
        super().__init__(*arguments)
        self.waiting = set(modules)

    def persistent_id(self, item):
        if isinstance(item, type) and item in self.waiting:
            self.waiting.remove(item)
            return ("module", item, "network.py", "class source")
        return super().persistent_id(item)


def save(stream, tree, modules=()):
    with torch_files._torch() as torch:
        for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(value, stream, 2)
        pickler = Pickler(stream, 2, torch, True, modules=modules)
        pickler.dump(tree)
        pickle.dump([str(94000 + i) for i in range(len(pickler.blocks))], stream, 2)
        for block in pickler.blocks:
            stream.write(struct.pack("<q", block.values.size) + block.values.tobytes())


def new(cls, **attributes):
    module = cls.__new__(cls)
    module.__dict__ = {"training": False, "_parameters": {}, "_buffers": {}, "_modules": {}} | attributes
    return module


def build(arrays, made):
    """A tree of modules that holds ``arrays`` under their dotted names, with what real ones carry along."""
    root = new(made["MultiStep"], prior=None, gain=np.float64(1.407), seen={1, 2}, channels=[3, np.int64(508)])
    for name, value in arrays.items():
        module = root
        *path, last = name.split(".")
        for part in path:
            kind = made["ModuleList"] if part.isdigit() else made["MyConv"]
            module = module._modules.setdefault(part, new(kind, parent=root))
        tensor = torch_files.Tensor(value)
        if last.startswith("interp"):
            module._buffers[last] = tensor
        else:
            module._parameters[last] = torch_files.Parameter(tensor)
    return root


NAMES = ("hflow.network.MultiStep", "hflow.network.MyConv", "torch.nn.modules.container.ModuleList")


def write(path, arrays, settings, tree=None, names=NAMES):
    stream = io.BytesIO()
    for text in (b"hflow.network", SOURCE):
        stream.write(struct.pack("<I", len(text)) + text)
    with classes(*names) as made:
        save(stream, tree(made) if tree else build(arrays, made), made.values())
    save(stream, {"state": {0: {"step": 3, "exp_avg": torch_files.Tensor(np.ones(4, np.float32))}}})
    if settings is not None:
        text = json.dumps(settings).encode()
        stream.write(struct.pack("<I", len(text)) + text)
    path.write_bytes(stream.getvalue())
    return path


@pytest.fixture(scope="module")
def published():
    with np.load(FOLDER / "io.npz") as io_:
        settings = {"GENERAL": {"SEED": 0}, "MODEL_PARAMETERS": json.loads(str(io_["options"]))}
    return read_pth(FOLDER / "model.pth"), settings


def test_a_published_file_fills_our_network(published, tmp_path):
    arrays, settings = published
    path = write(tmp_path / "model_iter_8.bin", arrays, settings)
    model = read_published(path)
    assert model.settings == settings
    network = HFlow(from_published(model.settings))
    assert load_arrays(network, model.arrays).complete
    expected = HFlowSystem.published.names("F_ema", arrays)
    for name, value in state_arrays(network).items():
        np.testing.assert_array_equal(value, expected[name])


def test_older_files_lack_the_settings(published, tmp_path):
    assert read_published(write(tmp_path / "m.bin", published[0], None)).settings is None


@pytest.mark.parametrize("place", ["hflow.network.Evil", "torch.nn.modules.linear.Linear", "evil.Join"])
def test_foreign_classes_are_refused_and_named(place, tmp_path):
    name = place.rpartition(".")[2]
    path = write(
        tmp_path / "m.bin",
        None,
        None,
        lambda made: new(made["MultiStep"], helper=new(made[name])),
        ("hflow.network.MultiStep", place),
    )
    with pytest.raises(UserError, match=f"{name}.*nothing was executed|pickled module.*nothing was executed"):
        read_published(path)


def test_calls_are_refused_and_not_made(tmp_path):
    path = write(
        tmp_path / "m.bin",
        None,
        None,
        lambda made: new(made["MultiStep"], helper=Call()),
        ("hflow.network.MultiStep",),
    )
    with pytest.raises(UserError, match="system, which is not part of a state dict; nothing was executed"):
        read_published(path)
    assert not Path("owned").exists()


class Call:
    """Unpickled, this runs a command."""

    def __reduce__(self):
        import os

        return os.system, ("touch owned",)


@pytest.mark.parametrize("keep", [3, 30, 60, 2000, -700, -5])
def test_files_that_were_cut_short(published, tmp_path, keep):
    path = write(tmp_path / "m.bin", *published)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"cut short|damaged|not a published"):
        read_published(path)


def test_lengths_are_not_believed(tmp_path):
    path = tmp_path / "m.bin"
    path.write_bytes(struct.pack("<I", 13) + b"hflow.network" + struct.pack("<I", 0xFFFFFFFF) + b"x")
    with pytest.raises(UserError, match="source code has no believable length"):
        read_published(path)


def test_what_is_a_published_file(published, tmp_path):
    assert is_published_file(write(tmp_path / "m.bin", *published))
    assert not is_published_file(FOLDER / "model.pth")
    assert not is_published_file(tmp_path / "gone.bin")
    with pytest.raises(UserError, match="not a published hflow checkpoint"):
        read_published(FOLDER / "model.pth")


def test_the_converter_makes_a_checkpoint_of_it(published, tmp_path):
    from data import convert_checkpoint
    from src.utils.tensorfile import read_arrays

    path = write(tmp_path / "model_iter_8.bin", *published)
    words = {"source": path, "network": "F_ema,F", "name": "cats", "save_ckpt_dir": tmp_path}
    words["config_path"] = "configs/hflow_tiny.yaml"
    convert_checkpoint.main([str(word) for key, value in words.items() for word in (f"--{key}", value)])
    expected = HFlowSystem.published.names("F_ema", published[0])
    for network in ("F", "F_ema"):
        arrays = read_arrays(tmp_path / "cats" / f"latest_net_{network}.safetensors")[0]
        assert arrays.keys() == expected.keys()
        assert all(np.array_equal(arrays[name], expected[name]) for name in arrays)
