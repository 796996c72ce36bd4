"""Reports on unpaired data, conditional data and square images; test_check.py looks at those on paired data."""

import gzip
import struct

import numpy as np
import pytest
from PIL import Image

from src.dataset.conditional import CONDITIONAL, ConditionalRequest
from src.dataset.imagefolder import IMAGES, ImagesRequest
from src.dataset.unpaired import UNPAIRED, UnpairedRequest
from src.imaging.palette import colour_labels
from tests.dataset.samples import options_of, save, write_dataset

_RNG = np.random.default_rng(0)


def noise(width, height):
    return _RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def facts(report):
    return dict(report.facts)


# -- unpaired --------------------------------------------------------------------------------------------------


@pytest.fixture
def sets(tmp_path):
    """Four images of A with label maps, three of B."""
    for index in range(4):
        save(tmp_path / "trainA" / f"a{index}.png", noise(40, 20))
        ids = np.zeros((20, 40), np.uint8)
        ids[:, :10] = 7
        save(tmp_path / "labels" / f"a{index}.png", ids)
    for index in range(3):
        save(tmp_path / "trainB" / f"b{index}.png", noise(30, 20))
    return tmp_path


def unpaired(root, labels=False, stride=4, **changes):
    config = options_of("cyclegan", root, **{"load_size": 16, "fine_size": 16, "batch_size": 2} | changes)
    return UNPAIRED.examine(UnpairedRequest(stride=stride, labels=labels), config, "train")


def test_unpaired_data_without_problems(sets):
    (sets / "labels").rename(sets / "train_labels")
    found = unpaired(sets, label_root=str(sets / "{phase}_labels"), labels=True)
    assert not found.problems and not found.notices
    told = facts(found)
    assert told.pop("records (estimate)").endswith("KiB a sample")
    assert told == {
        "images of A": f"4 in {sets / 'trainA'}",
        "sizes on disk of A": "40x20 (4)",
        "sizes in training of A": "16x16 (4)",
        "label maps of A": f"4 in {sets / 'train_labels'}",
        "labels (2 used)": "0: 75 %, 7: 25 %",
        "images of B": f"3 in {sets / 'trainB'}",
        "sizes on disk of B": "30x20 (3)",
        "sizes in training of B": "16x16 (3)",
        "steps an epoch": "2 with batch_size 2",
    }


def test_every_problem_of_unpaired_data_is_found_at_once(sets):
    (sets / "trainA" / "a1.png").write_bytes(b"no image")
    (sets / "labels" / "a2.png").unlink()
    for index, size in enumerate([(20, 10), (12, 12), (15, 40)]):
        save(sets / "trainB" / f"small{index}.png", noise(*size))
    found = unpaired(sets, label_root=str(sets / "labels"), resize_or_crop="crop", batch_size=5)
    text = found.text()
    for words in (
        "labels lacks the label maps of 1 of 4 images (first: a2.png)",
        "trainA/a1.png is not a readable",
        "3 images of B do not fit the options; the smallest: ",
        "small1.png (12x12)",
        "smaller than the crop of 16x16",
        "batch_size 5 is more than 4 images of A",
    ):
        assert words in text, f"{words}\n{text}"
    assert len(found.problems) == 4 and "small0" not in text
    assert facts(found)["sizes in training of B"] == "16x16 (3)"


def test_a_domain_that_is_missing_does_not_hide_the_other(sets):
    for path in (sets / "trainA").iterdir():
        path.unlink()
    found = unpaired(sets)
    assert len(found.problems) == 1 and "trainA holds no images" in found.problems[0]
    assert facts(found)["images of B"] == f"3 in {sets / 'trainB'}"


def test_label_maps_that_are_needed_and_not_there(sets):
    assert "name their folder with --label_root" in unpaired(sets, labels=True).problems[0]


def test_lists_repeat_their_images(sets):
    (sets / "trainA.txt").write_text("trainA/a0.png\ntrainA/a1.png\ntrainA/a0.png\n")
    found = unpaired(sets)
    assert facts(found)["images of A"] == f"3 (2 different) in {sets}"
    assert facts(found)["sizes on disk of A"] == "40x20 (2)"


def test_sizes_that_differ_need_a_crop(sets):
    found = unpaired(sets, resize_or_crop="none", stride=1)
    assert "the images have 2: 40x20 (4), 30x20 (3); pass --resize_or_crop squash" in found.text()


def test_options_that_are_wrong_for_both_are_one_problem(sets):
    found = unpaired(sets, scale_l=0.9, scale_h=0.8)
    assert len(found.problems) == 1 and "scale_l 0.9 and scale_h 0.8" in found.problems[0]


def test_fixed_pairs_repeat_the_smaller_set(sets):
    found = unpaired(sets, random_pair=False, batch_size=4)
    assert not found.problems and facts(found)["steps an epoch"] == "1 with batch_size 4"


# -- conditional -----------------------------------------------------------------------------------------------


def conditional(root, request=None, **changes):
    config = options_of("fullglow", root, **{"batch_size": 1} | changes)
    return CONDITIONAL.examine(request or ConditionalRequest((16, 32)), config, "train")


@pytest.fixture
def cityscapes(tmp_path):
    ids = np.full((32, 64), 7, np.uint8)
    ids[:8] = 23
    for index in range(3):
        save(tmp_path / "gtFine/train/ulm" / f"ulm_{index}_gtFine_color.png", colour_labels(ids, 35))
        save(tmp_path / "leftImg8bit/train/ulm" / f"ulm_{index}_leftImg8bit.png", noise(64, 32))
    return tmp_path


def test_conditional_data_without_problems(cityscapes):
    found = conditional(cityscapes)
    assert not found.problems and not found.notices
    told = facts(found)
    assert told.pop("records (estimate)").endswith("KiB a sample")
    assert told == {
        "data set": f"{cityscapes}, label2photo of cityscapes",
        "samples": "3",
        "sizes on disk": "64x32 (3)",
        "sizes in training": "32x16 (3)",
        "labels (2 used)": "7: 75 %, 23: 25 %",
        "steps an epoch": "3 with batch_size 1",
    }


def test_every_problem_of_conditional_data_is_found_at_once(cityscapes):
    strange = np.zeros((32, 64, 3), np.uint8)
    strange[:2] = 5
    save(cityscapes / "gtFine/train/ulm/ulm_0_gtFine_color.png", strange)
    (cityscapes / "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png").write_bytes(b"")
    save(cityscapes / "leftImg8bit/train/ulm/ulm_2_leftImg8bit.png", noise(64, 64))
    found = conditional(cityscapes, batch_size=4)
    text = found.text()
    for words in (
        "ulm_0_gtFine_color.png has 1 colour that no Cityscapes class has: (5, 5, 5) in 128 pixels",
        "ulm_1_leftImg8bit.png is empty",
        "the files of sample ulm_2 have different sizes",
        "batch_size 4 is more than 3 samples",
    ):
        assert words in text, f"{words}\n{text}"
    # the void of a refused map counts, its unknown colours do not
    assert len(found.problems) == 4 and facts(found)["labels (3 used)"] == "7: 50 %, 0: 33 %, 23: 17 %"


def test_labels_of_pairs_that_are_out_of_range(tmp_path):
    write_dataset(tmp_path, 2)
    found = conditional(tmp_path, dataset="pairs", label_nc=30)
    assert len(found.problems) == 2 and "label 33 in" in found.problems[0] and "--label_nc 34" in found.problems[0]
    assert facts(found)["labels >= 30"].startswith("[33] in 2 files, ")


def test_conditional_data_that_does_not_fit_the_network(tmp_path):
    for name, array in (
        ("train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8)),
        ("train-labels-idx1-ubyte", np.uint8([3, 3, 4])),
    ):
        data = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
    mnist = {"dataset": "mnist", "mapping": "label2digit"}
    told = facts(conditional(tmp_path, ConditionalRequest((24, 24), 10, 1), **mnist))
    assert told["sizes on disk"] == "28x28 (3)" and told["labels (2 used)"] == "3: 67 %, 4: 33 %"
    request = ConditionalRequest((24, 24), 3, 1, channel_options={"condition": "planes"})
    problems = conditional(tmp_path, request, **mnist).problems
    assert len(problems) == 1 and "have 10 channels, and the network takes 3: pass --planes 10" in problems[0]


# -- images ----------------------------------------------------------------------------------------------------


def images(root, resolution=16, **changes):
    config = options_of("hflow", root, **{"batch_size": 2, "held_out": 2} | changes)
    return IMAGES.examine(ImagesRequest(resolution), config, "train")


def test_square_images_and_those_that_become_so(tmp_path):
    for index, size in enumerate([(16, 16), (32, 16), (40, 30), (16, 16), (16, 16), (16, 16)]):
        save(tmp_path / f"{index}.png", noise(*size))
    told = facts(images(tmp_path))
    assert told["held out"] == f"the last 2 of 6 images in {tmp_path}"
    assert told["samples"] == "4" and told["sizes on disk"] == "16x16 (2), 32x16 (1), 40x30 (1)"
    assert told["sizes in training"] == "16x16 (4)" and told["steps an epoch"] == "2 with batch_size 2"
    assert told["image_fit squash"] == "changes the aspect ratio of 2 of 4 images, by a factor of up to 2.00"
    assert facts(images(tmp_path, image_fit="crop"))["image_fit crop"] == "cuts up to 50 % of 2 of 4 images away"


def test_every_problem_of_images_is_found_at_once(tmp_path):
    for index in range(3):
        save(tmp_path / f"{index}.png", noise(16, 16))
    save(tmp_path / "3.png", noise(16, 8))
    (tmp_path / "0.png").write_bytes(b"")
    Image.fromarray(noise(16, 16)).save(tmp_path / "1.jpg")
    data = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(data[: len(data) // 2])
    found = images(tmp_path, held_out=0, batch_size=9)
    text = found.text()
    for words in (
        "0.png is empty",
        "1.jpg is not a readable",
        "batch_size 9 is more than 5 samples",
        "held_out is 0: evaluation uses images that training has seen",
        "a side below 16 pixels is enlarged, by a factor of up to 2.00, in 1 of 3 images",
    ):
        assert words in text, f"{words}\n{text}"
    assert len(found.problems) == 3 and len(found.notices) == 2


def test_images_of_a_test_folder_are_held_out(tmp_path):
    for phase in ("train", "test"):
        save(tmp_path / f"{phase}_img" / "a.png", noise(16, 16))
    found = images(tmp_path, batch_size=1)
    assert not found.notices and facts(found)["held out"] == f"1 image in {tmp_path / 'test_img'}"
    (tmp_path / "test_img" / "a.png").rename(tmp_path / "train_img" / "b.png")
    (tmp_path / "test_img").rmdir()
    assert "there is no folder" in images(tmp_path, batch_size=1).notices[0]
    assert "nowhere does not exist" in images(tmp_path / "nowhere").problems[0]
