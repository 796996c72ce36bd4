"""Reading torch.save files: right values, and nothing but values."""

import collections
import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.utils.errors import UserError
from src.utils.pth import read_module, read_pth, read_pth_tree
from tests.torch_files import Block, Parameter, Tensor, save_legacy, save_zip, state_dict
from tests.utils.pickle_bombs import BOMBS, ESCAPES, legacy, zipped

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
SAVERS = {"zip": save_zip, "legacy": save_legacy}


@pytest.fixture(params=SAVERS)
def save(request):
    return SAVERS[request.param]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_types(tmp_path, save, dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    read = read_pth(save(tmp_path / "a.pth", state_dict(weight=Tensor(values))))
    assert read["weight"].dtype == values.dtype
    np.testing.assert_array_equal(read["weight"], values)
    read["weight"][...] = 0  # the result belongs to the caller


def test_bfloat16_becomes_float32(tmp_path, save):
    values = np.array([1.0, -2.5, 3.140625, 1e30, -0.0], np.float32)
    rounded = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    stored = (values.view(np.uint32) >> 16).astype(np.uint16)
    read = read_pth(save(tmp_path / "a.pth", {"weight": Tensor(stored, "bfloat16")}))
    assert read["weight"].dtype == np.float32
    np.testing.assert_array_equal(read["weight"], rounded)


def test_strides_scalars_shared_and_empty(tmp_path, save):
    block = Block(np.arange(30, dtype=np.float32))
    tree = {
        "transposed": Tensor(0, block=block, size=(5, 6), stride=(1, 5)),
        "slice": Tensor(0, block=block, offset=7, size=(2, 3), stride=(10, 2)),
        "expanded": Tensor(0, block=block, offset=3, size=(4, 2), stride=(0, 1)),
        "scalar": Tensor(0, block=block, offset=29, size=(), stride=()),
        "empty": Tensor(0, block=block, size=(0, 3), stride=(3, 1)),
    }
    read = read_pth(save(tmp_path / "a.pth", tree))
    flat = np.arange(30, dtype=np.float32)
    np.testing.assert_array_equal(read["transposed"], flat.reshape(6, 5).T)
    np.testing.assert_array_equal(read["slice"], [[7, 9, 11], [17, 19, 21]])
    np.testing.assert_array_equal(read["expanded"], [[3, 4]] * 4)
    assert read["scalar"].shape == () and read["scalar"] == 29
    assert read["empty"].shape == (0, 3)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nested_trees_in_every_protocol(tmp_path, save, protocol):
    tree = {
        "step": 7,
        "loss": 0.25,
        "name": "C-Glow ü",
        "betas": (0.5, 0.999),
        "flags": [True, None, 2**70],
        "state_dict": state_dict(weight=Parameter(Tensor(np.float32([1, 2]))), bias=Tensor(np.float32(3))),
        "optimizer": {"state": {0: {"exp_avg": Tensor(np.float32([4]))}}, "param_groups": [{"params": [0]}]},
    }
    path = save(tmp_path / "a.pth", tree, protocol)
    read = read_pth(path)
    assert list(read) == ["state_dict.weight", "state_dict.bias", "optimizer.state.0.exp_avg"]
    np.testing.assert_array_equal(read["state_dict.weight"], [1, 2])
    whole = read_pth_tree(path)
    assert {key: whole[key] for key in ("step", "loss", "name", "betas", "flags")} == {
        key: tree[key] for key in ("step", "loss", "name", "betas", "flags")
    }
    assert whole["optimizer"]["param_groups"] == [{"params": [0]}]


@pytest.mark.parametrize("protocol", [2, 4])
def test_many_small_tensors_are_within_the_budget(tmp_path, save, protocol):
    block = Block(np.zeros(1, np.float32))
    tree = {f"blocks.{k}.norm.bias": Tensor(0, block=block, size=(1,), stride=(1,)) for k in range(20_000)}
    assert len(read_pth(save(tmp_path / "a.pth", tree, protocol))) == len(tree)


def test_big_endian_archive(tmp_path):
    values = np.arange(5, dtype=np.float32)
    read = read_pth(save_zip(tmp_path / "a.pth", {"w": Tensor(values)}, order="big"))["w"]
    assert read.dtype == values.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*/*.pth")), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_published_files(path):
    arrays = read_pth(path)
    assert len(arrays) > 5
    with zipfile.ZipFile(path) as archive:
        stored = sum(e.file_size for e in archive.infolist() if "/data/" in e.filename)
    assert 0 < sum(array.nbytes for array in arrays.values()) <= 2 * stored
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert not [name for name in arrays if name != name.strip() or not name]


# ------------------------------------------------------------------ attacks


class Call:
    """Pickles as a call of ``function``: the classic attack."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def _attacks(witness):
    command = f"touch {witness}"
    return {
        "os.system": Call(os.system, command),
        "builtins.eval": Call(eval, f"open({str(witness)!r}, 'w')"),
        "builtins.exec": Call(exec, f"open({str(witness)!r}, 'w')"),
        "builtins.open": Call(open, str(witness), "w"),
        "builtins.getattr": Call(getattr, {}, "keys"),
        "nested": {"a": [Call(dict, [("b", Call(os.system, command))])]},
        "hidden in a tensor": {"w": Parameter(Call(os.system, command))},
        "partial": Call(__import__("functools").partial, os.system, command),
        "bytes": Call(bytearray, 1 << 40),
        "a class": Path("x"),
        "a key": {Call(os.system, command): 1},
        "a set": {Call(os.system, command)},
    }


@pytest.mark.parametrize("name", _attacks("x"))
def test_attacks_are_refused_and_run_nothing(tmp_path, save, name):
    witness = tmp_path / "witness"
    path = save(tmp_path / "evil.pth", {"weight": Tensor(np.zeros(2)), "x": _attacks(witness)[name]})
    with pytest.raises(UserError, match=r"evil\.pth refers to .*nothing was executed"):
        read_pth(path)
    assert not witness.exists()


def test_the_refusal_names_the_global(tmp_path):
    path = save_zip(tmp_path / "evil.pth", {"x": Call(os.system, "true")})
    with pytest.raises(UserError, match=rf"the global {os.name}\.system|{os.system.__module__}\.system"):
        read_pth(path)


ASSEMBLED = {
    "instance opcode": b"(S'true'\nios\nsystem\n.",
    "object opcode": b"(cos\nsystem\nS'true'\no.",
    "call of a text": b"S'x'\n(tR.",
    "call of a dictionary": b"}(tR.",
    "attributes of a class": b"ccollections\nOrderedDict\n}S'x'\nI1\nsb.",
    "new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent text": b"Pstorage\n.",
    "deep import": b"\x80\x04\x8c\x08builtins\x8c\rprint.__self__\x93.",
    "dotted name": b"\x80\x04\x8c\x0btorch._utils\x8c\x1c_rebuild_tensor.__globals__.x\x93.",
    "a bare class": b"ccollections\nOrderedDict\n.",
    "deep tuple as a key": b"}(" + b")" + b"\x85" * 200_000 + b"I1\nu.",
    "deep list": b"]" + b"]" * 5000 + b"a" * 5000 + b".",
}


@pytest.mark.parametrize("name", ASSEMBLED)
def test_assembled_attacks(tmp_path, name):
    path = tmp_path / "evil.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", ASSEMBLED[name])
    with pytest.raises(UserError, match=r"evil\.pth (refers to|is damaged)"):
        read_pth(path)


def test_billion_laughs_are_bounded(tmp_path):
    layer = {"w": Tensor(np.zeros(1, np.float32))}
    for _ in range(40):
        layer = {"a": layer, "b": layer}
    with pytest.raises(UserError, match="holds more than"):
        read_pth(save_zip(tmp_path / "a.pth", layer))


def test_bombs_are_refused_in_no_time_and_no_memory(tmp_path):
    paths = []
    for name, program in BOMBS.items():
        for layout, write in (("zip", zipped), ("legacy", legacy)):
            paths.append(tmp_path / f"{name}, {layout}.pth")
            write(paths[-1], program)
    for name in ("key of a storage", "copies of a size", "numbers that collide in a set"):
        for place in (2, 4):
            paths.append(tmp_path / f"{name}, pickle {place}.pth")
            legacy(paths[-1], BOMBS[name], place)
    command = [sys.executable, Path(__file__).with_name("pickle_bombs.py"), *paths]
    reader = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert reader.returncode == 0, reader.stderr
    results = [json.loads(line) for line in reader.stdout.splitlines()]
    assert len(results) == len(paths)
    for path, said, seconds, grown in results:
        assert said.startswith(path) and len(said) < len(path) + 500, said[:1000]
        assert seconds < 2 and grown < 200 << 20, (path, seconds, grown)


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize("name", ESCAPES)
def test_what_steers_a_terminal_is_escaped(tmp_path, name, write):
    path = tmp_path / "a.pth"
    write(path, ESCAPES[name])
    with pytest.raises(UserError) as raised:
        read_pth(path)
    assert str(raised.value).isprintable()


def test_names_of_entries_are_escaped(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"", zipfile.ZIP_STORED)
        archive.writestr("a/\x1b[2J", bytes(100))
    with pytest.raises(UserError, match=r"compressed entry a/\\x1b\[2J: unpack"):
        read_pth(path)


class Module:
    """Pickles as a module of PyTorch does: its class by name, then its attributes."""

    def __init__(self, parameters, modules):
        self._parameters, self._buffers, self._modules = parameters, {}, modules


def test_modules_that_share_modules_are_bounded(tmp_path):
    def knows(module, name):
        return name == "Module"

    layer = Module({"weight": Tensor(np.arange(3, dtype=np.float32))}, {})
    path = save_legacy(tmp_path / "a.bin", Module({}, {"a": layer, "b": layer}))
    with open(path, "rb") as stream:
        assert sorted(read_module(stream, path, knows)) == ["a.weight", "b.weight"]
    layer = Module({}, {})  # without a tensor that would be counted
    for _ in range(40):
        layer = Module({}, {"a": layer, "b": layer})
    path = save_legacy(tmp_path / "b.bin", layer)
    with open(path, "rb") as stream, pytest.raises(UserError, match="holds more than"):
        read_module(stream, path, knows)
    numbers = {f"number {k}": k for k in range(5000)}
    save_legacy(path, Module({}, {str(k): Module(numbers, {}) for k in range(2000)}))
    start = time.process_time()
    with open(path, "rb") as stream, pytest.raises(UserError, match="holds more than"):
        read_module(stream, path, knows)
    assert time.process_time() - start < 1
    with open(path, "rb") as stream, pytest.raises(UserError, match=r"the global .*Module.*nothing was executed"):
        read_module(stream, path, lambda module, name: False)


# ------------------------------------------------------------------ damage


@pytest.mark.parametrize(
    "tensor",
    [
        {"offset": 5, "size": (2, 3), "stride": (3, 1)},
        {"size": (2, 3), "stride": (30, 1)},
        {"size": (-1,), "stride": (1,)},
        {"size": (3,), "stride": (-1,)},
        {"offset": -4, "size": (2,), "stride": (1,)},
        {"size": (2, 2), "stride": (1,)},
        {"size": (2.0,), "stride": (1,)},
        {"size": (1,) * 40, "stride": (1,) * 40},
        {"size": (10**12,), "stride": (0,)},
        {"size": (2**62, 2**62), "stride": (0, 0)},
    ],
    ids=str,
)
def test_views_that_leave_their_storage(tmp_path, save, tensor):
    block = Block(np.arange(6, dtype=np.float32))
    arguments = {"offset": 0, **tensor}
    with pytest.raises(UserError, match="is damaged"):
        read_pth(save(tmp_path / "a.pth", {"w": Tensor(0, block=block, **arguments)}))


def test_a_small_storage_cannot_unfold_to_a_huge_tensor(tmp_path, save):
    block = Block(np.arange(6, dtype=np.float32))
    huge = Tensor(0, block=block, size=(10**7,), stride=(0,))
    with pytest.raises(UserError, match="expand to far more bytes than the file has"):
        read_pth(save(tmp_path / "a.pth", {"w": huge}))


def test_storage_that_claims_more_than_the_file_has(tmp_path, save):
    block = Block(np.arange(6, dtype=np.float32), count=10**12)
    with pytest.raises(UserError, match=r"claims 1000000000000 numbers"):
        read_pth(save(tmp_path / "a.pth", {"w": Tensor(0, block=block, size=(10**12,), stride=(1,))}))


def test_legacy_storage_with_a_false_length(tmp_path):
    path = save_legacy(tmp_path / "a.pth", {"w": Tensor(np.arange(6, dtype=np.float32))})
    data = bytearray(path.read_bytes())
    data[-32:-24] = struct.pack("<q", 2**61)
    path.write_bytes(data)
    with pytest.raises(UserError, match="the file ends before"):
        read_pth(path)


def test_compressed_archive_is_refused(tmp_path):
    tree = {"w": Tensor(np.zeros(10_000_000, np.float32))}
    path = save_zip(tmp_path / "bomb.pth", tree, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="compressed entry"):
        read_pth(path)


def test_every_truncation_is_an_error(tmp_path, save):
    tree = state_dict(weight=Tensor(np.arange(50, dtype=np.float32)), bias=Tensor(np.arange(3)))
    whole = save(tmp_path / "a.pth", tree).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.pth"):
            read_pth(path)


def test_flipped_bytes_never_escape(tmp_path, save):
    tree = state_dict(weight=Tensor(np.arange(20, dtype=np.float32)), step=3, name="x")
    whole = save(tmp_path / "a.pth", tree).read_bytes()
    path = tmp_path / "flipped.pth"
    random = np.random.RandomState(0)
    outcomes = collections.Counter()
    for _ in range(300):
        data = bytearray(whole)
        for place in random.randint(0, len(data), random.randint(1, 4)):
            data[place] = random.randint(0, 256)
        path.write_bytes(data)
        try:
            read_pth(path)
            outcomes["read"] += 1
        except UserError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 50


def test_a_flipped_bit_in_the_numbers_of_an_archive_is_detected(tmp_path):
    path = save_zip(tmp_path / "a.pth", {"w": Tensor(np.arange(1000, dtype=np.float32))})
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(500).tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="Bad CRC-32"):
        read_pth(path)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"\x89PNG\r\n\x1a\n", "it starts with"),
        (struct.pack("<Q", 20) + b'{"a":{}}' + b" " * 12, "safetensors"),
        (b"\0" * 257 + b"ustar" + b"\0" * 250, "tar archive"),
        (pickle.dumps({"weight": [1.0]}, 2), "not one of torch.save"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(7, 2), "unknown torch.save protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files(tmp_path, content, message):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_pth(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.pth: it does not exist"):
        read_pth(tmp_path / "nowhere.pth")
    with pytest.raises(UserError, match="it is a folder"):
        read_pth(tmp_path)


@pytest.mark.parametrize(
    "tree, message",
    [
        ([Tensor(np.zeros(2))], "holds a list, not a state dict"),
        (Tensor(np.zeros(2)), "holds a ndarray, not a state dict"),
        ({"epoch": 3}, "without any tensor"),
        ({"a.b": Tensor(np.zeros(2)), "a": {"b": Tensor(np.zeros(2))}}, r"the name a\.b twice"),
    ],
    ids=["list", "tensor", "numbers", "names"],
)
def test_trees_that_are_no_state_dict(tmp_path, save, tree, message):
    with pytest.raises(UserError, match=message):
        read_pth(save(tmp_path / "a.pth", tree))


def test_the_writer_of_these_tests_emits_what_torch_emits():
    """The pickles made here use the same instructions and globals as a published file."""
    with zipfile.ZipFile(REFERENCE / "pix2pixhd_global" / "net_G.pth") as archive:
        published = archive.read("net_G/data.pkl")
    stream = io.BytesIO()
    save_zip(stream, state_dict(**{"model.1.weight": Tensor(np.zeros((2, 3), np.float32))}))
    with zipfile.ZipFile(stream) as archive:
        ours = archive.read("archive/data.pkl")

    def symbols(data):
        return {(op.name, arg) for op, arg, _ in pickletools.genops(data) if op.name in ("GLOBAL", "BINPERSID")}

    assert symbols(ours) == symbols(published)
