"""Arranging a Cityscapes download: the right files in the right folders, nothing overwritten."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.dataset.samples import arrays, reader, save

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "create_pix2pixhd_dataset.py"


@pytest.fixture
def download(tmp_path):
    for split, city, count in (("train", "aachen", 2), ("train", "bochum", 1), ("val", "frankfurt", 2)):
        for index in range(count):
            stem = f"{city}_{index:06d}_000019"
            sample = arrays(index)
            save(tmp_path / "cs" / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", sample["img"])
            fine = tmp_path / "cs" / "gtFine" / split / city
            save(fine / f"{stem}_gtFine_labelIds.png", sample["label"])
            save(fine / f"{stem}_gtFine_instanceIds.png", sample["inst"])
            save(fine / f"{stem}_gtFine_color.png", sample["img"])
            save(fine / f"{stem}_gtFine_labelTrainIds.png", sample["label"])
            (fine / f"{stem}_gtFine_polygons.json").write_text("{}")
    return tmp_path / "cs"


def run(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["copy", "hardlink", "symlink"])
def test_layout(download, tmp_path, mode):
    target = tmp_path / "made"
    status, text = run(download, target, "--mode", mode)
    assert status == 0, text
    assert "train -> train: 3 images (the published split has 2975)" in text and "15 files" in text
    assert sorted(path.name for path in target.iterdir()) == sorted(
        f"{phase}_{name}" for phase in ("train", "test") for name in ("img", "inst", "label")
    )
    for phase, count in (("train", 3), ("test", 2)):
        assert len(reader(target, phase=phase, resize_or_crop="none").rows) == count
    # Class ids among the labels, instance ids among the instances.
    loaded = reader(target, resize_or_crop="none").load(0)
    np.testing.assert_array_equal(loaded["label"], arrays(0)["label"])
    np.testing.assert_array_equal(loaded["inst"], arrays(0)["inst"])
    one = target / "train_label" / "aachen_000000_000019_gtFine_labelIds.png"
    source = download / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    assert one.is_symlink() == (mode == "symlink")
    assert one.samefile(source) == (mode != "copy")
    assert not [path for path in target.rglob("*") if path.name.startswith(".")]


def test_repeating_keeps_what_is_there(download, tmp_path):
    target = tmp_path / "made"
    run(download, target)
    os.unlink(target / "train_img" / "bochum_000000_000019_leftImg8bit.png")
    kept = (target / "train_img" / "aachen_000000_000019_leftImg8bit.png").stat().st_mtime_ns
    status, text = run(download, target)
    assert status == 0 and "1 file in" in text and "14 there already" in text
    assert (target / "train_img" / "aachen_000000_000019_leftImg8bit.png").stat().st_mtime_ns == kept


def test_other_files_are_never_overwritten(download, tmp_path):
    target = tmp_path / "made"
    mine = save(target / "test_label" / "frankfurt_000001_000019_gtFine_labelIds.png", np.zeros((4, 4), np.uint8))
    before = mine.read_bytes()
    status, text = run(download, target)
    assert status == 2 and "frankfurt_000001_000019_gtFine_labelIds.png exists" in text
    assert mine.read_bytes() == before and not (target / "train_img").exists()


def test_missing_partners_are_reported(download, tmp_path):
    os.unlink(download / "gtFine/train/aachen/aachen_000001_000019_gtFine_instanceIds.png")
    status, text = run(download, tmp_path / "made")
    assert status == 2 and "1 lack inst (aachen_000001_000019)" in text and not (tmp_path / "made").exists()
    status, text = run(download, tmp_path / "made", "--skip_incomplete")
    assert status == 0 and "train -> train: 2 images" in text
    assert len(list((tmp_path / "made" / "train_img").iterdir())) == 2


def test_wrong_folders_and_other_splits(download, tmp_path):
    status, text = run(download / "gtFine", tmp_path / "made")
    assert status == 2 and "leftImg8bit/train does not exist" in text and "unpacking" in text
    status, text = run(download, tmp_path / "made", "--train_split", "", "--test_split", "val")
    assert status == 0 and not (tmp_path / "made" / "train_img").exists()
    status, text = run(download, tmp_path / "made", "--train_split", "", "--test_split", "")
    assert status == 2 and "nothing to do" in text
    status, text = run(download, tmp_path / "other", "--annotations", "gtCoarse")
    assert status == 2 and "gtCoarse/train does not exist" in text
