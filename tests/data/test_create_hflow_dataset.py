"""The command that makes hflow's data sets: what it reads, skips, refuses and leaves behind."""

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data import create_hflow_dataset
from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def png(size=(20, 12), seed=0, mode="RGB"):
    channels = {"RGB": 3, "RGBA": 4}.get(mode)
    shape = (size[1], size[0], channels) if channels else (size[1], size[0])
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return encoded(Image.fromarray(values, mode))


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def run(source, target, *more, resolution=16, name="set"):
    words = ["--path", source, "--dataset_path", target, "--dataset_name", name, "--resolution", resolution]
    return create_hflow_dataset.main([str(word) for word in (*words, *more)])


def pictures(folder):
    return sorted(path.name for path in folder.glob("*.png"))


def test_zip_of_all_kinds(tmp_path, capsys):
    grey16 = encoded(Image.fromarray(np.full((9, 9), 30000, np.uint16)))
    members = {
        "a.png": png(),
        "deep/er/b.PNG": png(seed=1),
        "c.jpg": encoded(Image.fromarray(np.full((8, 8, 3), 99, np.uint8)), "JPEG"),
        "grey.png": png(mode="L"),
        "alpha.png": png(mode="RGBA"),
        "sixteen.png": grey16,
        "broken.png": png()[:50],
        "text.png": b"no picture at all",
        "__MACOSX/._a.png": b"resource fork",
        ".hidden/x.png": png(),
        "notes.txt": b"hello",
    }
    make_zip(tmp_path / "in.zip", members)
    assert run(tmp_path / "in.zip", tmp_path, "--held_out", 2) == 0
    assert pictures(tmp_path / "set") == [
        "0000000_a.png",
        "0000001_b.png",
        "0000002_c.png",
        "0000003_grey.png",
        "0000004_alpha.png",
        "0000005_sixteen.png",
    ]
    first = np.asarray(Image.open(tmp_path / "set" / "0000000_a.png"))
    source = Image.open(io.BytesIO(members["a.png"])).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(first, np.asarray(source))
    said = capsys.readouterr().out
    assert "6 images of 16x16" in said and "2 could not be read" in said and "broken.png" in said
    assert "4 of them in 1 record files for training, 2 held out" in said
    assert not list(tmp_path.glob(".*part*"))


def test_folder_with_crop(tmp_path):
    source = tmp_path / "in" / "nested"
    source.mkdir(parents=True)
    (source / "wide.png").write_bytes(png((40, 20)))
    run(tmp_path / "in", tmp_path, "--fit", "crop", "--no_records", resolution=16)
    wide = np.asarray(Image.open(source / "wide.png"))[:, 10:30]
    expected = np.asarray(Image.fromarray(wide).resize((16, 16), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "set" / "0000000_wide.png")), expected)


def test_names_of_members_are_never_paths(tmp_path):
    outside = {"../../escaped.png": png(), "/absolute.png": png(seed=1), "a\\..\\..\\windows.png": png(seed=2)}
    make_zip(tmp_path / "in.zip", outside)
    run(tmp_path / "in.zip", tmp_path / "sets", "--no_records")
    assert len(pictures(tmp_path / "sets" / "set")) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"in.zip", "sets"}
    assert not (tmp_path.parent / "escaped.png").exists()


def huge_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_bombs_are_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(create_hflow_dataset, "MAX_MEMBER_BYTES", 3 << 20)
    zeros = b"\0" * (8 << 20)
    members = {"zeros.png": zeros, "long.bmp": b"BM" + zeros, "wide.png": huge_png(100_000, 100_000), "good.png": png()}
    make_zip(tmp_path / "in.zip", members)
    run(tmp_path / "in.zip", tmp_path, "--no_records")
    assert pictures(tmp_path / "set") == ["0000000_good.png"]
    said = capsys.readouterr().out
    assert "zeros.png: it is not an image" in said
    assert "long.bmp: it unpacks to more than 3 MiB" in said
    assert "wide.png has 100000x100000 pixels" in said or "wide.png has more than" in said


def test_an_archive_that_lies_about_its_members(tmp_path, capsys):
    """Flipped bits in the packed data: the checksum of that member fails, the others are read."""
    path = make_zip(tmp_path / "in.zip", {"a.png": png(), "b.png": png(seed=1)}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.find(b"IDAT") + 40] ^= 0xFF
    path.write_bytes(bytes(data))
    run(path, tmp_path, "--no_records")
    assert pictures(tmp_path / "set") == ["0000000_b.png"]
    assert "a.png: it is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("members", "more", "message"),
    [
        ({"notes.txt": b"x"}, {}, "holds no image that can be read"),
        ({"a.png": b"\x89PNG cut"}, {}, "1 could not be read: a.png"),
        ({"a.png": png()}, {"resolution": 100}, "--resolution 100 fits no hflow network"),
        ({"a.png": png()}, {"name": "../x"}, "must be one folder name"),
    ],
)
def test_refusals_leave_nothing_behind(tmp_path, members, more, message):
    make_zip(tmp_path / "in.zip", members)
    with pytest.raises(UserError, match=message):
        run(tmp_path / "in.zip", tmp_path, **more)
    assert [path.name for path in tmp_path.iterdir()] == ["in.zip"]


def test_other_inputs_are_refused(tmp_path):
    (tmp_path / "in.zip").write_bytes(b"PK no zip")
    with pytest.raises(UserError, match="not a readable zip file"):
        run(tmp_path / "in.zip", tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        run(tmp_path / "gone.zip", tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("keep")
    make_zip(tmp_path / "in.zip", {"a.png": png()})
    with pytest.raises(UserError, match="nothing is overwritten"):
        run(tmp_path / "in.zip", tmp_path)
    assert (tmp_path / "set" / "mine.txt").read_text() == "keep"


def test_as_a_command(tmp_path):
    make_zip(tmp_path / "in.zip", {"a.png": png()})
    script = ROOT / "data" / "create_hflow_dataset.py"
    words = ["-p", tmp_path / "in.zip", "-dp", tmp_path, "-dn", "x", "-r", "7"]
    result = subprocess.run([sys.executable, script, *map(str, words)], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --resolution 7") and "Traceback" not in result.stderr


def test_webp_is_read_and_other_types_are_counted(tmp_path, capsys):
    image = Image.fromarray(np.full((8, 8, 3), 99, np.uint8))
    members = {"a.webp": encoded(image, "WEBP"), "b.gif": encoded(image, "GIF"), "c/d.gif": b"", "notes.txt": b"x"}
    make_zip(tmp_path / "in.zip", members | {"riff.webp": b"RIFF\0\0\0\0WAVE"})
    assert run(tmp_path / "in.zip", tmp_path, "--no_records") == 0
    assert pictures(tmp_path / "set") == ["0000000_a.png"]
    said = capsys.readouterr()
    assert "in.zip: skipped 2 .gif; read are" in said.err and "riff.webp" in said.out


def test_names_of_any_script_and_encoding(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    names = [("日" * 80).encode() + b".png", b"stra\xdfe.png", b"broken\xdf.png"]
    for name in names:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(png() if name != names[2] else b"\x89PNG")
    assert run(folder, tmp_path, "--no_records") == 0
    made = pictures(tmp_path / "set")
    assert len(made) == 2 and "0000000_stra_e.png" in made
    assert "broken\\udcdf.png: " in capsys.readouterr().out
