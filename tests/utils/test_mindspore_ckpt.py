"""Reading MindSpore's checkpoints: right values, and bounds on everything that a file claims."""

import resource
import time

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from mindspore.train import serialization

from src.utils.errors import UserError
from src.utils.mindspore_ckpt import read_ckpt
from tests.fuzz.mutations import damaged

TYPES = [
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
]  # fmt: skip


def save(path, arrays, **options):
    values = [{"name": name, "data": Tensor(array)} for name, array in arrays.items()]
    ms.save_checkpoint(values, str(path), **options)
    return path


def weights():
    rng = np.random.default_rng(0)
    return {
        "layers.0.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "layers.0.bias": rng.standard_normal(4).astype(np.float32),
        "step": np.int64(7),
    }


@pytest.mark.parametrize("dtype", TYPES)
def test_types(tmp_path, dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    read = read_ckpt(save(tmp_path / "a.ckpt", {"w": values, "scalar": values[1, 1, 1]}))
    assert read["w"].dtype == read["scalar"].dtype == values.dtype
    np.testing.assert_array_equal(read["w"], values)
    assert read["scalar"].shape == () and read["scalar"] == values[1, 1, 1]
    read["w"][...] = 0  # the result belongs to the caller


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 3.140625, -0.0], np.float32)
    ms.save_checkpoint([{"name": "w", "data": Tensor(values).astype(ms.bfloat16)}], str(tmp_path / "a.ckpt"))
    read = read_ckpt(tmp_path / "a.ckpt")["w"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values)


def test_parameters_in_pieces(tmp_path, monkeypatch):
    """Written in pieces of 1 KiB instead of 512 MiB."""
    monkeypatch.setattr(serialization, "SLICE_SIZE", 1)
    big = np.random.default_rng(0).standard_normal((37, 41)).astype(np.float32)
    path = save(tmp_path / "a.ckpt", {"small": np.float32([1]), "big": big, "last": np.float32([2])})
    assert path.read_bytes().count(b"big") == 6
    read = read_ckpt(path)
    assert list(read) == ["small", "big", "last"]
    np.testing.assert_array_equal(read["big"], big)


def test_checksum_and_what_is_saved_beside(tmp_path):
    beside = {"epoch": 3, "note": "text ü", "lr": 0.5}
    path = save(tmp_path / "a.ckpt", weights(), crc_check=True, append_dict=beside)
    assert path.read_bytes()[-17:-10] == b"crc_num"
    read = read_ckpt(path)
    assert list(read) == [*weights(), "epoch", "lr"]
    assert read["epoch"] == 3 and read["lr"] == 0.5
    data = bytearray(path.read_bytes())
    data[data.index(weights()["layers.0.bias"].tobytes())] ^= 1
    (tmp_path / "b.ckpt").write_bytes(data)
    with pytest.raises(UserError, match=r"b\.ckpt is damaged.*checksum is wrong"):
        read_ckpt(tmp_path / "b.ckpt")


def test_same_as_mindspore_reads(tmp_path):
    path = save(tmp_path / "a.ckpt", weights())
    theirs = {name: value.asnumpy() for name, value in ms.load_checkpoint(str(path)).items()}
    ours = read_ckpt(path)
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype and ours[name].shape == theirs[name].shape
        np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC"])
def test_encrypted(tmp_path, mode):
    path = save(tmp_path / "a.ckpt", weights(), enc_key=b"0" * 16, enc_mode=mode)
    with pytest.raises(UserError, match=r"a\.ckpt is encrypted: save it anew"):
        read_ckpt(path)


def test_every_truncation_is_an_error_or_has_fewer_parameters(tmp_path):
    whole = save(tmp_path / "a.ckpt", weights(), crc_check=True).read_bytes()
    path = tmp_path / "cut.ckpt"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            assert len(read_ckpt(path)) <= len(weights())
        except UserError as error:
            assert "cut.ckpt" in str(error) and "\n" not in str(error)


def test_injuries_never_escape(tmp_path):
    rng = np.random.default_rng(0)
    whole = save(tmp_path / "a.ckpt", weights()).read_bytes()
    path = tmp_path / "injured.ckpt"
    outcomes = {"read": 0, "refused": 0}
    for _ in range(600):
        path.write_bytes(damaged(whole, rng))
        try:
            assert all(isinstance(array, np.ndarray) for array in read_ckpt(path).values())
            outcomes["read"] += 1
        except UserError as error:
            assert str(error).isprintable() and len(str(error)) < len(str(path)) + 600
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 30, outcomes


# ------------------------------------------------------------------ files made by hand


def number(value):
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def message(place, data):
    return number(place << 3 | 2) + number(len(data)) + data


def parameter(name="w", shape=(2,), kind="Float32", data=bytes(8), more=b""):
    name = name.encode() if isinstance(name, str) else name
    dims = b"".join(b"\x08" + number(length) for length in shape)
    return message(1, message(1, name) + message(2, dims + message(2, kind.encode()) + message(3, data) + more))


def test_the_writer_of_these_tests_emits_what_mindspore_emits(tmp_path):
    path = save(tmp_path / "a.ckpt", {"w": np.float32([0, 0])})
    assert path.read_bytes() == parameter()


def test_scalars_of_older_versions_and_empty_arrays(tmp_path):
    empty = parameter("empty", (0, 3), data=b"") + parameter("none", (0,), data=b"")
    (tmp_path / "a.ckpt").write_bytes(parameter("scalar", (0,), data=bytes(4)) + empty)
    read = read_ckpt(tmp_path / "a.ckpt")
    assert {name: array.shape for name, array in read.items()} == {"scalar": (), "empty": (0, 3), "none": (0,)}


HOSTILE = {
    "more than the file has": (parameter()[:-3], "longer than what it is part of"),
    "size of a petabyte": (b"\x0a" + number(2**50) + parameter(), "longer than what it is part of"),
    "endless number": (b"\x0a" + b"\xff" * 50, "more than 64 bits"),
    "shape beyond the numbers": (parameter(shape=(3,)), "has 8 bytes"),
    "shape of 2**120": (parameter(shape=(2**60, 2**60)), "has 8 bytes"),
    "no numbers with a huge shape": (parameter(shape=(0, 2**63), data=b""), "is damaged"),
    "negative dimensions": (parameter(shape=(2**64 - 1, 2**64 - 2)), "has 8 bytes"),
    "nine dimensions": (parameter(shape=(1,) * 8 + (2,)), "more than 8 dimensions"),
    "a million dimensions": (parameter(shape=(1,) * 1_000_000), "more than 8 dimensions"),
    "a long name": (parameter("n" * 1_000_000), "a name has 1000000 bytes"),
    "a longer name than any": (parameter("n" * 1500), "more than 1000 characters"),
    "no name": (parameter(""), "without a name"),
    "a name that is no text": (parameter(b"\xff\xfe"), "is damaged"),
    "a name that clears the screen": (parameter("\x1b[2J\x07"), r"names an array \\x1b\[2J\\x07"),
    "a type that clears the screen": (parameter(kind="\x1b[2J"), r"of the type \\x1b\[2J"),
    "unknown numbers": (parameter(kind="Int4"), "numbers of the type Int4"),
    "a long type": (parameter(kind="F" * 10_000), "a name has 10000 bytes"),
    "twice, apart": (parameter() + parameter("v") + parameter(), "w occurs twice"),
    "twice, other types": (parameter() + parameter(kind="Int32"), "w occurs twice"),
    "too many pieces": (parameter() + parameter(), "has 16 bytes"),
    "numbers twice": (parameter(more=message(3, bytes(8))), "an unknown field"),
    "a map": (message(1, message(1, b"w") + message(3, b"")), "that is not a tensor"),
    "another field": (parameter() + message(2, b""), "other than parameters"),
    "a group": (b"\x0b\x00", "unknown kind"),
    "too many parameters": (b"".join(parameter(f"{k}") for k in range(100_001)), "more than 100000 parameters"),
    "only a text": (parameter("note", (0,), "str", bytes(8)), "without any parameter"),
    "empty": (b"", "it is empty"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "a page": (b"\n<!DOCTYPE html><html>", "web page"),
    "an archive": (b"PK\x03\x04" + bytes(100), "is damaged"),
    "zeros": (bytes(1000), "is damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    content, reason = HOSTILE[name]
    path = tmp_path / "evil.ckpt"
    path.write_bytes(content)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UserError, match=rf"evil\.ckpt .*{reason}") as raised:
        read_ckpt(path)
    assert str(raised.value).isprintable() and len(str(raised.value)) < len(str(path)) + 600
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.ckpt: it does not exist"):
        read_ckpt(tmp_path / "nowhere.ckpt")
    with pytest.raises(UserError, match="it is a folder"):
        read_ckpt(tmp_path)
