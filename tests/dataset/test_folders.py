"""Images are found, samples get names, files pair by name, and what does not pair is named."""

import os
from pathlib import Path

import pytest

from src.dataset.folders import find_partners, find_unpaired, list_images, names_of, pair_folders, stem_of
from src.utils.errors import UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("aachen_000000_000019_gtFine_labelIds.png", "aachen_000000_000019"),
        ("aachen_000000_000019_gtFine_instanceIds.png", "aachen_000000_000019"),
        ("aachen_000000_000019_gtFine_color.png", "aachen_000000_000019"),
        ("aachen_000000_000019_gtCoarse_labelTrainIds.png", "aachen_000000_000019"),
        ("aachen_000000_000019_leftImg8bit.jpg", "aachen_000000_000019"),
        ("my_color.png", "my_color"),
        ("leftImg8bit.png", "leftImg8bit"),
        ("a.b.png", "a.b"),
        ("shot.0001.png", "shot.0001"),
        ("_gtFine_color.png", "_gtFine_color"),
    ],
)
def test_stems_lose_cityscapes_suffixes_only(name, stem):
    assert stem_of(name) == stem


def test_lists_every_picture_at_any_depth(tmp_path):
    touch(tmp_path, "b.PNG", "a.jpg", "x/c.tiff", "x/y/d.bmp", "e.txt", ".hidden.png", ".cache/f.png", "g.npy")
    assert [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)] == [
        "a.jpg",
        "b.PNG",
        "x/c.tiff",
        "x/y/d.bmp",
    ]


def listed(root):
    return [path.relative_to(root).as_posix() for path in list_images(root)]


def test_links_to_folders_are_followed_once(tmp_path):
    touch(tmp_path, "elsewhere/1.png", "elsewhere/deep/2.png", "set/own/3.png")
    (tmp_path / "set" / "a_link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "b_link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "again").symlink_to(tmp_path / "set" / "own")
    assert listed(tmp_path / "set") == ["a_link/1.png", "a_link/deep/2.png", "own/3.png"]


def test_links_in_a_circle_end(tmp_path, capsys):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "itself").symlink_to(tmp_path / "b" / "itself")
    (tmp_path / "b" / "nowhere").symlink_to(tmp_path / "nowhere")
    assert listed(tmp_path) == ["a/1.png", "b/2.png"]
    assert f"{tmp_path}: skipped 2 without a suffix" in capsys.readouterr().err


def test_files_of_other_types_are_counted_once(tmp_path, capsys):
    touch(tmp_path, "a.png", "b.webp", "x/c.GIF", "d.gif", "e.heic", ".f.gif")
    touch(tmp_path, "notes.txt", "Thumbs.db", "a.json", "x/list.csv", "desktop.ini", "README.md")
    for _ in range(2):
        assert listed(tmp_path) == ["a.png", "b.webp"]
    said = capsys.readouterr().err
    assert said.count("skipped") == 1 and f"{tmp_path}: skipped 2 .gif, 1 .heic; read are .bmp" in said


def test_nothing_is_said_of_texts_beside_images(tmp_path, capsys):
    touch(tmp_path, "a.png", "notes.txt", "Thumbs.db", "a.json", ".hidden.gif", ".cache/x.gif")
    assert listed(tmp_path) == ["a.png"] and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.png", "b.jpg"], ["a", "b"]),
        (["x/a.png", "y/b.jpg"], ["a", "b"]),
        (["shot.0001.png", "shot.0002.png"], ["shot.0001", "shot.0002"]),
        (["aachen/000.png", "bonn/000.png", "bonn/001.png"], ["aachen_000", "bonn_000", "bonn_001"]),
        (["x.jpg", "x.png", "y.png"], ["x_jpg", "x_png", "y"]),
        (["a/x.jpg", "a/x.png", "b/x.png"], ["a_x_jpg", "a_x_png", "b_x"]),
        (["a_leftImg8bit.png", "a_gtFine_color.png", "b_leftImg8bit.png"], ["a_leftImg8bit", "a_gtFine_color", "b"]),
        (["a/b_c.png", "a_b/c.png", "c.png"], ["a_b_c_png", "a_b_c_png_2", "c"]),
        (["x.png", "y.png", "x.png", "x_2.png"], ["x", "y", "x_3", "x_2"]),
        (["x.jpg", "x.png", "x_png.png"], ["x_jpg", "x_png", "x_png_2"]),
    ],
)
def test_samples_have_names_of_their_own(files, names):
    assert names_of([Path("root", file) for file in files], "root") == names


def test_files_outside_of_the_folder_are_named_by_their_way_there(tmp_path):
    assert names_of([tmp_path / "a/1.png", tmp_path / "b/1.png"], tmp_path / "lists") == ["a_1", "b_1"]


def test_names_that_are_not_utf8_are_listed_and_named(tmp_path):
    for name in (b"stra\xdfe.png", "straße.png".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"")
    files = list_images(tmp_path)
    assert sorted(names_of(files, tmp_path)) == ["stra=DFe", "straße"]
    assert all(file.is_file() for file in files)
    assert len(pair_folders({"A": tmp_path, "B": tmp_path})) == 2


def test_partners_of_repeated_names_lie_in_the_same_folder(tmp_path):
    files = [Path(f"img/{city}/0.jpg") for city in ("aachen", "bonn", "cologne")]
    labels = [Path(f"label/{city}/0_gtFine_labelIds.png") for city in ("bonn", "aachen")]
    assert find_partners(files, "img", labels, "label") == {files[0]: labels[1], files[1]: labels[0]}
    shared = [Path("label/0.png")]
    assert find_partners(files, "img", shared, "label") == dict.fromkeys(files, shared[0])
    with pytest.raises(UserError, match="0.jpg and .*0.png have the same stem"):
        find_partners(files, "img", [Path("label/0.jpg"), Path("label/0.png")], "label")


def test_pairs_by_name_where_positions_differ(tmp_path):
    touch(tmp_path, "A/aachen_1_gtFine_labelIds.png", "A/bonn_1_gtFine_labelIds.png")
    touch(tmp_path, "B/aachen/aachen_1_leftImg8bit.jpg", "B/bonn_1_leftImg8bit.png")
    rows = pair_folders({"A": tmp_path / "A", "B": tmp_path / "B"})
    assert [row.stem for row in rows] == ["aachen_1", "bonn_1"]
    assert rows[0].files["B"].name == "aachen_1_leftImg8bit.jpg"


def test_repeated_names_pair_by_subfolder(tmp_path):
    touch(tmp_path, "A/x/1.png", "A/y/1.png", "B/x/1.jpg", "B/y/1.jpg")
    rows = pair_folders({"A": tmp_path / "A", "B": tmp_path / "B"})
    assert [(row.stem, row.files["B"].parent.name) for row in rows] == [("x_1", "x"), ("y_1", "y")]


def test_missing_partners_are_counted_and_five_are_named(tmp_path):
    touch(tmp_path, *(f"A/{k}.png" for k in range(10)), "B/0.png", "B/only_b.png")
    folders = {"A": tmp_path / "A", "B": tmp_path / "B"}
    with pytest.raises(UserError) as caught:
        pair_folders(folders)
    message = str(caught.value)
    assert "lacks 9 (1, 2, 3, 4, 5, ...)" in message and "lacks 1 (only_b)" in message
    assert "A 10" in message and "B 2" in message
    assert [len(one.missing) for one in find_unpaired(folders)] == [1, 9]
    assert [row.stem for row in pair_folders(folders, only_complete=True)] == ["0"]


def test_one_stem_twice_is_refused(tmp_path):
    touch(tmp_path, "A/1.png", "A/1.jpg")
    with pytest.raises(UserError, match=r"1\.jpg and .*1\.png have the same stem"):
        pair_folders({"A": tmp_path / "A"})


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        pair_folders({"A": tmp_path / "nowhere"})
    touch(tmp_path, "empty/readme.txt")
    with pytest.raises(UserError, match="empty holds no images"):
        pair_folders({"A": tmp_path / "empty"})
