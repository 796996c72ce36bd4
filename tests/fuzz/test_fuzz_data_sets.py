"""List files, archives, record files and idx files that are damaged, or made to reach where they should not."""

import gzip
import io
import shutil
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from data import create_hflow_dataset
from src.dataset.idx import read_idx
from src.dataset.imagefolder import IMAGES, ImagesRequest
from src.dataset.lists import read_list
from src.imaging.video import Video, write_video
from src.systems.programs import load_config
from src.utils.errors import UserError
from tests.fuzz.mutations import INPUTS, Trial, damaged, spliced, try_inputs


def png(size=(8, 8), seed=0):
    values = np.random.default_rng([seed, 1]).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def test_list_files(working_folder):
    rng = np.random.default_rng(17)
    folder = working_folder / "data"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "b b.jpg", "deep/c.png", "ü.png"):
        (folder / name).write_bytes(png())
    path = folder / "list.txt"
    lines = [
        "a.png", " a.png ", "b b.jpg", "deep/c.png", "deep/../a.png", "ü.png", "", "   ", "../../../etc/passwd",
        "/etc/passwd", "/etc/hostname.png", "x" * 300 + ".png", "x/" * 3000 + "a.png", "a\0b.png", "a.png\r",
        "a.png\x0bb.png", "# a.png", "a.png b.png", "deep", "deep.png/", ".png", "~/a.png", "$HOME/a.png",
        "a.png;touch it_ran", "`touch it_ran`.png", "file:///a.png", "C:\\a.png", "a.PNG", "\ufeffa.png",
        "a.png\u2028a.png",
    ]  # fmt: skip

    def read():
        files = read_list(path, folder)
        assert files and all(file.is_file() for file in files)

    def trials():
        for number in range(INPUTS["list files"]):
            chosen = [lines[int(rng.integers(6 if number % 3 == 0 else len(lines)))] for _ in range(1 + number % 7)]
            data = "\n".join(chosen).encode()
            if number % 4 == 1:
                data = damaged(data, rng, 2)
            elif number % 20 == 2:
                data = (data + b"\n") * 2000
            elif number % 20 == 6:
                data = data.decode().encode("utf-16")
            path.write_bytes(data)
            yield Trial(read, folder, str(path))

    try_inputs("list files", trials())
    assert not list(working_folder.rglob("it_ran"))


def member(name, data, method=zipfile.ZIP_DEFLATED):
    return name, data, method


def packed(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data, method in members:
            archive.writestr(name, data, method)
    return buffer.getvalue()


def test_zip_archives(working_folder, monkeypatch, capsys):
    """Nothing but the new data set appears, whatever the members are called, claim or unpack to."""
    monkeypatch.setattr(create_hflow_dataset, "MAX_MEMBER_BYTES", 1 << 20)
    rng = np.random.default_rng(18)
    folder, results = working_folder / "data", working_folder / "results"
    folder.mkdir()
    path = folder / "in.zip"
    good = [member("a.png", png()), member("b/c.png", png(seed=1), zipfile.ZIP_STORED)]
    whole = packed(good)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    zeros = bytes(4 << 20)
    handmade = [
        packed([member("../../up.png", png()), member("/tmp/it_ran.png", png())]),
        packed([member("a\\..\\b.png", png())]),
        packed([member(link, "/etc/passwd")]),
        packed([*good, member(link, "/etc/passwd")]), b"", b"PK\x05\x06" + bytes(18),
        packed([*good, member("bomb.bmp", b"BM" + zeros)]), packed([*good, member("bomb.png", b"\x89PNG" + zeros)]),
        packed([*good, member("c.png", png(), zipfile.ZIP_LZMA)]),
        packed([*good, member("c.png", png(), zipfile.ZIP_BZIP2)]),
        packed([*good, *good]), packed([member("a.png/", b"")]),
        packed([member("C:a.png", png()), member("nul.png", png())]),
        packed([member("x" * 5000 + ".png", png())]), packed([member("ü/😀\u202e.png", png()), member(" .png", png())]),
        packed([member("a.zip", whole), member("inner.png", whole)]), packed([member("a.png", b"")]), whole + whole,
        packed([member("same.png", png(seed=k)) for k in range(5)]), whole[:-10], b"x" * 1000 + whole,
        packed([member("-rf.png", png()), member("a\nb.png", png()), member("%s{}.png", png())]),
    ]  # fmt: skip

    def encrypted(data):
        """The flag that says so, in both headers of the first member."""
        data = bytearray(data)
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            data[data.index(mark) + place] |= 1
        return bytes(data)

    def convert(number):
        words = ["--path", path, "--dataset_path", results, "--dataset_name", f"set{number}", "--resolution", 16]
        try:
            create_hflow_dataset.main([str(word) for word in (*words, "--no_records")])
        finally:
            made = {entry.name for entry in results.iterdir()} if results.is_dir() else set()
            assert made <= {f"set{number}"}
            assert all(entry.suffix == ".png" and entry.is_file() for entry in results.glob("set*/*"))
            shutil.rmtree(results, ignore_errors=True)
        assert {entry.name for entry in working_folder.iterdir()} == {"data"}

    def trials():
        for number in range(INPUTS["zip archives"]):
            if number < len(handmade):
                data = handmade[number]
            elif number % 4 == 0:
                data = encrypted(whole)
            elif number % 4 == 1:
                methods = (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                data = damaged(packed([member("a.png", png(), methods[number // 4 % 4]), *good]), rng)
            else:
                data = damaged(whole, rng) if number % 4 == 2 else spliced(whole, handmade[3], rng)
            path.write_bytes(data)
            yield Trial(lambda number=number: convert(number), folder, path.name)

    try_inputs("zip archives", trials())
    assert not list(working_folder.rglob("it_ran*"))


def test_idx_files(working_folder):
    rng = np.random.default_rng(19)
    folder = working_folder / "data"
    folder.mkdir()
    whole = b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4) + bytes(24)
    handmade = [
        b"", b"\0\0", b"\0\0\x08\x00", b"\0\0\x08\xff", b"\0\0\x0d\x01" + bytes(8), b"\0\0\x08\x28" + bytes(160),
        b"\0\0\x08\x02" + struct.pack(">II", 2**32 - 1, 2**32 - 1),
        b"\0\0\x08\x04" + struct.pack(">IIII", 2**31, 2**31, 4, 1), b"\0\0\x08\x01" + struct.pack(">I", 0),
        b"\0\0\x08\x02" + struct.pack(">II", 0, 2**32 - 1), b"\0\0\x08\x21" + struct.pack(">33I", *[1] * 33) + b"x",
    ]  # fmt: skip
    bomb = gzip.compress(bytes(64 << 20))

    def trials():
        for number in range(INPUTS["idx files"]):
            name = f"{number}-idx3-ubyte"
            data = handmade[number] if number < len(handmade) else damaged(whole, rng) if number % 3 else whole
            if number % 2:
                name, data = f"{name}.gz", gzip.compress(data)
                data = damaged(data, rng, 2) if number % 4 == 1 else data
            if number == 41:
                data = bomb
            path = folder / name
            path.write_bytes(data)
            yield Trial(lambda path=path: read_idx(path).sum(), folder, name)

    try_inputs("idx files", trials())


def test_records(working_folder):
    """Records that changed are built again; what passes unnoticed until it is read ends the run with a message."""
    rng = np.random.default_rng(20)
    data = working_folder / "data"
    data.mkdir()
    for number in range(4):
        (data / f"{number}.png").write_bytes(png((16, 16), number))
    records = working_folder / "records"
    options = {"held_out": 0, "no_flip": True, "records_dir": records, "record_shards": 1, "batch_size": 2}
    words = [f"--{name}={value}" for name, value in ({"model": "hflow", "data_root": data} | options).items()]
    config = load_config([*words, "--num_workers=1"]).part(*IMAGES.owners)

    def read():
        pipeline = IMAGES.opens(ImagesRequest(16), config, "train", 0, 1, True)
        seen = [batch["image"] for _, batches in pipeline.epochs(1) for batch in batches]
        assert len(seen) == 2 and all(np.isfinite(images).all() for images in seen)

    read()
    whole = working_folder / "whole"
    shutil.copytree(records, whole)

    def trials():
        for number in range(INPUTS["records"]):
            shutil.rmtree(records)
            shutil.copytree(whole, records)
            files = sorted(
                path for path in (working_folder / "records").rglob("*") if path.is_file() and path.stat().st_size
            )
            path = files[number % len(files)]
            content = path.read_bytes()
            # same size: only then are files opened at all
            new = damaged(content, rng) if number % 2 else overwritten(content, rng)
            path.write_bytes(new)
            yield Trial(read, data)

    try_inputs("records", trials(), both=False)


def overwritten(content, rng):
    result = bytearray(content)
    for _ in range(30):
        start = int(rng.integers(len(result)))
        end = min(start + 50, len(result))
        result[start:end] = rng.bytes(end - start)
    return bytes(result)


def test_videos(working_folder):
    rng = np.random.default_rng(23)
    folder = working_folder / "data"
    folder.mkdir()
    frames = [folder / f"{number}.png" for number in range(4)]
    for number, frame in enumerate(frames):
        frame.write_bytes(png((32, 48), number))
    path = write_video(folder / "drive.mp4", frames, 10.0)
    whole = path.read_bytes()

    def trials():
        for number in range(INPUTS["videos"]):
            path.write_bytes(damaged(whole, rng) if number else whole)
            yield Trial(lambda: Video(path), folder, path.name)

    try_inputs("videos", trials())


def test_a_gzip_bomb_is_not_unfolded(working_folder):
    path = working_folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01" + struct.pack(">I", 9) + bytes(64 << 20)))
    with pytest.raises(UserError, match="idx3-ubyte.gz holds more bytes where its header announces 9"):
        read_idx(path)
