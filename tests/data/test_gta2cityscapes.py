"""Lists for unpaired translation from downloads and exports, and pairs from translations."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from src.dataset.lists import read_list
from src.utils.errors import UserError


def load(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "data" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


create, pair = load("create_gta2cityscapes_dataset"), load("pair_translations")


def picture(path, colour, size=(24, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def downloads(tmp_path):
    gta, cityscapes = tmp_path / "gta5", tmp_path / "cityscapes"
    for i in range(1, 9):
        picture(gta / "images" / f"{i:05d}.png", (i, 0, 0))
    for split, number in (("train", 3), ("test", 2)):
        for i in range(number):
            picture(cityscapes / "leftImg8bit" / split / "ulm" / f"ulm_{i:06d}_leftImg8bit.png", (0, i, 0))
    return gta, cityscapes


def test_lists_from_downloads(tmp_path, downloads, capsys):
    gta, cityscapes = downloads
    target = tmp_path / "lists"
    command = [str(target), "--gta", str(gta), "--cityscapes", str(cityscapes)]
    create.main(command)
    read = {p.stem: p.read_text().split() for p in target.glob("*.txt")}
    assert {name: len(lines) for name, lines in read.items()} == {"trainA": 4, "testA": 4, "trainB": 3, "testB": 2}
    assert not set(read["trainA"]) & set(read["testA"])
    assert read["trainB"][0] == "cityscapes/leftImg8bit/train/ulm/ulm_000000_leftImg8bit.png"
    assert all(line.startswith("gta/images/") for line in read["trainA"])
    for name in read:
        assert all(file.is_file() for file in read_list(target / f"{name}.txt", target))
    assert "published: 24966" in capsys.readouterr().out

    create.main(command)  # the same again changes nothing
    with pytest.raises(UserError, match="lists other images: nothing is overwritten"):
        create.main([*command, "--seed", "1"])
    create.main([str(tmp_path / "few"), *command[1:], "--max_train", "2"])
    assert len((tmp_path / "few" / "trainA.txt").read_text().split()) == 2


def test_records_can_be_written_at_once(tmp_path, downloads, capsys):
    gta, cityscapes = downloads
    overlay = tmp_path / "small.yaml"
    configs = Path(__file__).parents[2] / "configs"
    overlay.write_text(f"base: {configs / 'cyclegan.yaml'}\nload_size: 16\nfine_size: 12\n")
    target = tmp_path / "lists"
    create.main([str(target), "--gta", str(gta), "--cityscapes", str(cityscapes), "--records", str(overlay)])
    assert "4 steps of 1 an epoch" in capsys.readouterr().out
    assert len(list((target / ".mindi2i_records").glob("unpaired-train*.json"))) == 2


def test_missing_downloads_are_explained(tmp_path, downloads):
    gta, cityscapes = downloads
    for command, message in (
        ([], "give --gta FOLDER and --cityscapes FOLDER, or --parquet PATH"),
        (["--gta", str(tmp_path), "--cityscapes", str(cityscapes)], "images does not exist"),
        (["--gta", str(gta), "--cityscapes", str(gta)], "Cityscapes train was unpacked into"),
        (["--gta", str(gta), "--parquet", "x"], "give one or the other"),
        (["--gta", str(gta), "--cityscapes", str(cityscapes), "--test_share", "1.5"], "1.5 is not a fraction"),
    ):
        with pytest.raises(UserError, match=message):
            create.main([str(tmp_path / "lists"), *command])


def encoded(colour, kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, kind)
    return buffer.getvalue()


def export(path, rows, names=("imageA", "imageB")):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def test_pictures_and_lists_from_an_export(tmp_path):
    rows = [
        ({"bytes": encoded((i, 0, 0)), "path": f"{i}.png"}, {"bytes": encoded((0, i, 0), "JPEG"), "path": None})
        for i in range(20)
    ]
    export(tmp_path / "in" / "train-0.parquet", rows[:11])
    export(tmp_path / "in" / "train-1.parquet", rows[11:])
    target = tmp_path / "out"
    for _ in range(2):  # a second run finds everything in place
        create.main([str(target), "--parquet", str(tmp_path / "in")])
    numbers = {
        name: len((target / f"{name}.txt").read_text().split()) for name in ("trainA", "testA", "trainB", "testB")
    }
    assert numbers == {"trainA": 18, "testA": 2, "trainB": 18, "testB": 2}
    for file in read_list(target / "trainA.txt", target):
        assert np.array(Image.open(file))[0, 0].tolist() == [int(file.stem), 0, 0]
    assert all(file.suffix == ".jpg" for file in read_list(target / "testB.txt", target))


@pytest.mark.parametrize(
    ("names", "value", "message"),
    [
        (("imageA", "photo"), b"\x89PNG", "no column imageB: it has imageA, photo"),
        (("imageA", "imageB"), b"GIF89a", "row 0 of .* holds no PNG or JPEG"),
    ],
)
def test_exports_of_another_kind_are_explained(tmp_path, names, value, message):
    export(tmp_path / "x.parquet", [(value, value)], names)
    with pytest.raises(UserError, match=message):
        create.main([str(tmp_path / "out"), "--parquet", str(tmp_path / "x.parquet")])


def test_damaged_export_is_explained(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(UserError, match="no readable parquet file"):
        create.main([str(tmp_path / "out"), "--parquet", str(tmp_path / "x.parquet")])


@pytest.mark.parametrize("pattern", ["{}_fake_B.png", "{}_to_style.png"])
def test_pairs_from_translations(tmp_path, pattern):
    for i in range(10):
        picture(tmp_path / "in" / f"{i:03d}.png", (i, 0, 0))
        picture(tmp_path / "made" / pattern.format(f"{i:03d}"), (i, 100, 0))
    command = [str(tmp_path / name) for name in ("in", "made", "out")]
    for _ in range(2):
        pair.main(command)
    found = {p.name: sorted(q.name for q in p.iterdir()) for p in (tmp_path / "out").iterdir()}
    assert found["train_A"] == found["train_B"] and found["test_A"] == found["test_B"]
    assert (len(found["train_A"]), len(found["test_A"])) == (9, 1)
    for side, green in (("A", 0), ("B", 100)):
        for phase in ("train", "test"):
            for name in found[f"{phase}_{side}"]:
                pixel = np.array(Image.open(tmp_path / "out" / f"{phase}_{side}" / name))[0, 0]
                assert pixel.tolist() == [int(name[:3]), green, 0]


def test_pairs_of_different_sizes_are_explained(tmp_path):
    picture(tmp_path / "in" / "a.png", (0, 0, 0))
    with pytest.raises(UserError, match="holds no images|does not exist"):
        pair.main([str(tmp_path / name) for name in ("in", "made", "out")])
    picture(tmp_path / "made" / "b_fake_B.png", (0, 0, 0))
    with pytest.raises(UserError, match="no translation of an image"):
        pair.main([str(tmp_path / name) for name in ("in", "made", "out")])
    picture(tmp_path / "made" / "a_fake_B.png", (0, 0, 0), (20, 16))
    with pytest.raises(UserError, match="24x16 and its translation 20x16: translate with --eval_size original"):
        pair.main([str(tmp_path / name) for name in ("in", "made", "out")])
