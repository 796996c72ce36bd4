"""Files pair by name, and what does not pair is named."""

import pytest

from src.dataset.folders import find_unpaired, list_images, pair_folders, stem_of
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
    with pytest.raises(UserError, match="empty holds no pictures"):
        pair_folders({"A": tmp_path / "empty"})
