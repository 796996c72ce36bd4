"""Files that are complete or absent, and run folders that belong to one run."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from src.utils.errors import UserError
from src.utils.files import atomic_write, leftovers, sha256_file, temporary_name
from src.utils.tensorfile import pack_json, read_arrays, read_metadata, unpack_json, write_arrays


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_write_replaces_in_one_step(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write(path, "ä")
    atomic_write(path, b"two")
    atomic_write(path, lambda stream: stream.write(b"three"))
    assert path.read_bytes() == b"three"
    assert names(tmp_path) == ["a.txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "ß" * 127])
def test_names_as_long_as_a_file_system_allows(tmp_path, name):
    atomic_write(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write(path, b"old")

    def fails(stream):
        stream.write(b"half of the new")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        atomic_write(path, fails)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.txt"]


def test_keeping_an_existing_file(tmp_path):
    path = tmp_path / "a.txt"
    atomic_write(path, b"mine", overwrite=False)
    with pytest.raises(UserError, match=r"a\.txt exists already and is not overwritten"):
        atomic_write(path, b"theirs", overwrite=False)
    assert path.read_bytes() == b"mine"
    assert names(tmp_path) == ["a.txt"]


def test_full_disk(tmp_path):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")

    def to_a_full_disk(stream):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(UserError, match=r"cannot write .*a\.bin: the disk is full .*MiB free.*free some space"):
        atomic_write(path, to_a_full_disk)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def run(code, folder, **kwargs):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=folder, capture_output=True, text=True, **kwargs
    )


def test_file_size_limit(tmp_path):
    result = run(
        """
        import resource
        from src.utils.errors import UserError
        from src.utils.files import atomic_write
        atomic_write("a.bin", b"old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            atomic_write("a.bin", bytes(1_000_000))
        except UserError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "cannot write a.bin: the file is larger than the limit" in result.stdout, result.stderr
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


# root may write anywhere, so a process that starts as root becomes nobody first
BECOME_NOBODY = """
import os
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""


def test_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    code = """
        from src.utils.errors import UserError
        from src.runs.folder import claim_run_folder
        from src.utils.files import atomic_write
        """
    code += textwrap.indent(BECOME_NOBODY, " " * 8)
    code += """
        for action in (lambda: atomic_write("a.bin", b"x"), lambda: claim_run_folder(".", {}),
                       lambda: claim_run_folder("run", {})):
            try:
                action()
            except UserError as error:
                print(error)
        """
    result = run(code, tmp_path / "locked")
    lines = result.stdout.splitlines()
    assert len(lines) == 3, result.stderr
    assert lines[0].startswith("cannot write a.bin: permission denied: change the permissions of .")
    assert all("permission denied" in line for line in lines)


@pytest.mark.parametrize(
    "path, message",
    [
        ("nowhere/a.bin", "does not exist"),
        ("file/a.bin", "a part of this path is a file"),
        (".", "is a folder"),
    ],
)
def test_impossible_paths(tmp_path, path, message):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(UserError, match=message):
        atomic_write(tmp_path / path, b"x") if path != "." else sha256_file(tmp_path)


def test_leftovers_are_found(tmp_path):
    temporary = temporary_name(tmp_path / "a.bin")
    temporary.write_bytes(b"half")
    (tmp_path / ".hidden").write_bytes(b"mine")
    (tmp_path / "a.part").write_bytes(b"mine")
    assert leftovers(tmp_path) == [temporary]


def test_sha256(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc" * 1_000_000)
    expected = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
    assert sha256_file(path) == expected
    with pytest.raises(UserError, match=r"cannot read .*nowhere: it does not exist"):
        sha256_file(tmp_path / "nowhere")


# ------------------------------------------------------------------ array files


def test_arrays_survive(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {
        name: (np.arange(-6, 6).reshape(3, 4) * 1.5).astype(name)
        for name in [
            "bool",
            "uint8",
            "int8",
            "uint16",
            "int16",
            "uint32",
            "int32",
            "uint64",
            "int64",
            "float16",
            "float32",
            "float64",
        ]
    }
    arrays |= {
        "scalar": np.float32(3),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(12.0).reshape(3, 4).T,
        "big endian": np.arange(3, dtype=">f4"),
        "json": pack_json({"state": 2**100, "name": "ü"}),
    }
    written = write_arrays(path, arrays, {"epoch": "3", "config": '{"name": "ü"}'})
    assert written.sha256 == sha256_file(path)
    assert written.size == path.stat().st_size
    read, metadata = read_arrays(path)
    assert metadata == {"epoch": "3", "config": '{"name": "ü"}'}
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, err_msg=name)
        assert read[name].shape == np.shape(array)
        assert read[name].dtype == np.asarray(array).dtype.newbyteorder("=")
    assert unpack_json(read["json"]) == {"state": 2**100, "name": "ü"}
    assert list(read_arrays(path, ["scalar"])[0]) == ["scalar"]
    assert read_metadata(path)[1]["transposed"] == (4, 3)


def test_array_files_that_are_none(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(TypeError, match="complex64"):
        write_arrays(path, {"a": np.zeros(2, np.complex64)})
    assert names(tmp_path) == []
    with pytest.raises(UserError, match=r"a\.safetensors: it does not exist"):
        read_arrays(path)
    write_arrays(path, {"a": np.zeros(100)})
    whole = path.read_bytes()
    for content in (b"", b"not one", whole[:-1], whole[:50], b"\xff" * 200):
        path.write_bytes(content)
        with pytest.raises(UserError, match="damaged or not a safetensors file"):
            read_arrays(path)
        with pytest.raises(UserError, match="damaged or not a safetensors file"):
            read_metadata(path)
