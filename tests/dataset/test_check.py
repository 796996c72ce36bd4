"""The data report names everything that a run would trip over."""

import numpy as np

from src.dataset.paired import PAIRED
from tests.dataset.samples import arrays, asked, save, write_dataset, write_sample


def report(root, **changes):
    found = PAIRED.examines(*asked(root, **changes), "train")
    return len(found.problems), found.text()


def test_good_data_has_no_problems(tmp_path):
    write_dataset(tmp_path, 4)
    count, text = report(tmp_path)
    assert count == 0 and "0 problems" in text
    for words in ("4 in", "64x32 (4)", "32x16 (4)", "most instances", "max_instances 32", "KiB a sample", "26: "):
        assert words in text, words


def test_every_kind_of_problem_is_found_at_once(tmp_path):
    write_dataset(tmp_path, 8)
    label = arrays(1)["label"]
    label[:4] = 255
    save(tmp_path / "train_label" / "city_000001_000019_gtFine_labelIds.png", label)
    (tmp_path / "train_img" / "city_000002_000019_leftImg8bit.png").write_bytes(b"")
    save(tmp_path / "train_inst" / "city_000003_000019_gtFine_instanceIds.png", arrays(3)["label"])
    (tmp_path / "train_inst" / "city_000004_000019_gtFine_instanceIds.png").unlink()
    save(tmp_path / "train_img" / "extra.png", arrays(0)["img"])
    write_sample(tmp_path, "train", 5, width=64, height=64)
    many = np.arange(64 * 32, dtype=np.uint16).reshape(32, 64)
    save(tmp_path / "train_inst" / "city_000006_000019_gtFine_instanceIds.png", many)
    count, text = report(tmp_path)
    for words in (
        "label 255 in",
        "city_000002_000019_leftImg8bit.png is empty",
        "city_000003_000019_gtFine_instanceIds.png has 8 bits",
        "train_inst has no file for city_000004_000019",
        "train_label has no file for extra",
        "training needs one size, but the samples have 2",
        "city_000006_000019_gtFine_instanceIds.png holds 512 instances",
        "[255] in 1 file, 1.8 % of",
        "64x64 (1)",
    ):
        assert words in text, f"{words}\n{text}"
    assert count == 8  # extra lacks a label map and an instance map


def test_sizes_that_do_not_fit_are_one_problem(tmp_path):
    write_dataset(tmp_path, 3)
    count, text = report(tmp_path, load_size=36)
    assert count == 1 and "3 samples do not fit the options; the smallest: " in text and "stride 4" in text


def test_swapped_maps_and_superfluous_classes_are_noticed(tmp_path):
    write_dataset(tmp_path, 3)
    for index in range(3):
        shifted = np.roll(arrays(index)["inst"], 20, axis=1)
        save(tmp_path / "train_inst" / f"city_{index:06d}_000019_gtFine_instanceIds.png", shifted)
    count, text = report(tmp_path, label_nc=200)
    assert count == 0 and "2 notices" in text
    assert "in 3 samples (first: city_000000_000019) instance ids are not label" in text
    assert "of 200 classes never occur" in text and "clusters" not in text
    assert "feature clusters per class will be wrong" in report(tmp_path, regions="instances")[1]


def test_where_classes_share_a_style_it_is_classes_that_are_counted(tmp_path):
    write_dataset(tmp_path, 2)
    most = max(len(np.unique(arrays(index)["label"])) for index in range(2))
    count, text = report(tmp_path, regions="labels", resize_or_crop="none")
    assert count == 0 and "0 notices" in text
    assert f"most classes        {most} in city_00000" in text and "most instances" not in text
    few = {"label_nc": 200, "regions": "labels", "instances": False}
    assert "most classes" in report(tmp_path, **few)[1]


def test_long_lists_are_cut(tmp_path):
    write_dataset(tmp_path, 25)
    for path in (tmp_path / "train_img").iterdir():
        path.write_bytes(b"")
    count, text = report(tmp_path)
    assert count == 25 and "... and 5 more" in text


def test_missing_folders_and_small_sets(tmp_path):
    count, text = report(tmp_path / "nowhere")
    assert count == 1 and "nowhere does not exist" in text
    write_dataset(tmp_path, 2)
    count, text = report(tmp_path, batch_size=3)
    assert count == 1 and "1 problem:\n  - batch_size 3 is more than 2 samples: pass a smaller" in text


def test_images_to_images(tmp_path):
    for index in range(2):
        save(tmp_path / "train_A" / f"{index}.png", arrays(index)["img"])
        save(tmp_path / "train_B" / f"{index}.png", arrays(index)["img"])
    count, text = report(tmp_path, label_nc=0, instances=False)
    assert count == 0 and "labels" not in text
