"""Unpaired data: lists and folders, independent orders, exact resume, crops, evaluation, and bad input."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.dataset.folders import Row
from src.dataset.lists import read_list
from src.dataset.unpaired import UNPAIRED, UnpairedPipeline, UnpairedReader, UnpairedRequest
from src.imaging.video import Video, write_video
from src.utils.errors import UserError
from tests.dataset.samples import digest_of, options_of, write_dataset

NUMBER_A, NUMBER_B = 7, 5


def options(root, **changes):
    return options_of("cyclegan", root, **{"load_size": 18, "fine_size": 16, "num_workers": 2, "seed": 0} | changes)


def opened(config, phase="train", rank=0, world=1):
    return UNPAIRED.open(UnpairedRequest(stride=4), config, phase, rank, world)


def write(path, colour, size=(30, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), colour, np.uint8)
    pixels[:, : size[0] // 2, 0] = 200
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    """Seven pictures of A and five of B: green is the index, times ten; blue tells the domain."""
    for phase, few in (("train", 0), ("test", 4)):
        for domain, number, blue in (("A", NUMBER_A - few, 0), ("B", NUMBER_B - few, 255)):
            for i in range(number):
                write(tmp_path / "data" / f"{phase}{domain}" / f"{domain.lower()}{i:02d}.png", (0, 10 * i, blue))
    return tmp_path / "data"


def first_epoch(data):
    return [batch for _, batches in data.epochs(1) for batch in batches]


def green(image):
    return round((float(image[0, 1].mean()) + 1) * 127.5 / 10)


def first_epochs(config, total, first_step=0):
    """The (A, B) pairs of every epoch, read off the pictures themselves."""
    data = opened(config, "train")
    return [
        [
            (green(batch["A"][i : i + 1]), green(batch["B"][i : i + 1]))
            for batch in batches
            for i in range(len(batch["A"]))
        ]
        for _, batches in data.epochs(total, first_step)
    ]


def test_both_sets_come_in_orders_of_their_own(root):
    data = opened(options(root), "train")
    assert isinstance(data, UnpairedPipeline)
    assert (data.num_samples, data.steps_per_epoch, data.size) == (NUMBER_A, NUMBER_A, (16, 16))
    epochs = first_epochs(options(root), 5)
    for epoch in epochs:
        assert sorted(a for a, _ in epoch) == list(range(NUMBER_A))
    stream = [b for epoch in epochs for _, b in epoch]
    for start in range(0, len(stream) // NUMBER_B * NUMBER_B, NUMBER_B):
        assert sorted(stream[start : start + NUMBER_B]) == list(range(NUMBER_B))
    assert len({tuple(epoch) for epoch in epochs}) == 5
    partners = {b for epoch in epochs for a, b in epoch if a == 0}
    assert len(partners) > 1


def test_equal_sets_are_not_shuffled_alike(root):
    (root / "trainA" / "a05.png").unlink()
    (root / "trainA" / "a06.png").unlink()
    pairs = [pair for epoch in first_epochs(options(root), 4) for pair in epoch]
    assert any(a != b for a, b in pairs)


def test_batches_tell_where_their_pictures_come_from(root):
    data = opened(options(root, batch_size=2), "train")
    batch = first_epoch(data)[0]
    assert set(batch) == set(data.columns) == {"A", "B", "id", "id_A", "id_B"}
    assert batch["A"].shape == batch["B"].shape == (2, 3, 16, 16) and batch["A"].dtype == np.float32
    for i in range(2):
        assert green(batch["A"][i : i + 1]) == batch["id_A"][i] == batch["id"][i]
        assert green(batch["B"][i : i + 1]) == batch["id_B"][i]
        assert data.name(batch["id"][i]) == f"a{batch['id'][i]:02d}"
        assert data.files(batch["id"][i])["A"].name == f"a{batch['id'][i]:02d}.png"
    assert batch["A"][:, 2].max() < -0.9 and batch["B"][:, 2].min() > 0.9


@pytest.mark.parametrize("first_step", [1, 6, 7, 9])
@pytest.mark.parametrize("random_pair", [True, False])
def test_resume_continues_with_the_exact_samples(root, first_step, random_pair):
    config = options(root, random_pair=random_pair, resize_or_crop="scale_short_and_crop")

    def batches(first):
        data = opened(config, "train")
        return [b for _, epoch in data.epochs(2, first) for b in epoch]

    whole, rest = batches(0), batches(first_step)
    assert len(rest) == len(whole) - first_step
    for got, want in zip(rest, whole[first_step:], strict=True):
        for column in ("A", "B", "id"):
            np.testing.assert_array_equal(got[column], want[column])


def test_workers_share_an_epoch(root):
    seen = []
    for rank in (0, 1):
        data = opened(options(root), "train", rank, 2)
        assert data.steps_per_epoch == 4
        seen += [int(batch["id_A"][0]) for batch in first_epoch(data)]
    assert set(seen) == set(range(NUMBER_A))


def test_fixed_pairing_goes_by_position(root):
    for epoch in first_epochs(options(root, random_pair=False), 2):
        assert sorted(epoch) == [(i, i % NUMBER_B) for i in range(NUMBER_A)]


def test_pairing_that_changes_in_the_list_rebuilds_the_records(root):
    names = [f"trainB/b{i:02d}.png" for i in range(NUMBER_B)]
    config = options(root, random_pair=False, target_list=str(root / "b.txt"))
    for order in (names, names[::-1]):
        (root / "b.txt").write_text("\n".join(order) + "\n")
        pairs = sorted(first_epochs(config, 1)[0])
        assert pairs[0] == (0, 0 if order is names else NUMBER_B - 1)


def test_lists_name_files_relative_to_a_root(root):
    listed = root / "train.txt"
    listed.write_text("trainA/a03.png\ntrainA/a01.png\ntrainA/a03.png\n\n")
    assert [p.name for p in read_list(listed, root)] == ["a03.png", "a01.png", "a03.png"]
    config = options(root, source_list=str(root / "{phase}.txt"))
    data = opened(config, "train")
    assert data.a.num_samples == 2
    assert {a for a, _ in first_epochs(config, 1)[0]} == {1, 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: write one image per line"),
        ("trainA/a00.png\n\ntrainA/a01.png\n", "line 2 is empty"),
        ("trainA/a00.png\nreadme.md\n", r"line 2: 'readme.md' is not an image"),
        ("trainA/a00.png\ntrainA/a77.png\n", r"1 of 2 files .* not there: .*a77.png \(line 2\)"),
    ],
)
def test_bad_lists_are_explained(root, text, message):
    (root / "list.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        opened(options(root, source_list=str(root / "list.txt")), "train")


def test_unreadable_list_names_its_line(root):
    (root / "list.txt").write_bytes(b"trainA/a00.png\n\xff\xfe\n")
    with pytest.raises(UserError, match="line 2: .* is not an image by its name"):
        read_list(root / "list.txt", root)
    (root / "list.txt").write_text("trainA/a00.png\n", encoding="utf-16")
    with pytest.raises(UserError, match="line 1 is not text"):
        read_list(root / "list.txt", root)


def test_missing_places_are_explained(root, tmp_path):
    with pytest.raises(UserError, match="holds noneA and noneB"):
        opened(options(root), "none")
    with pytest.raises(UserError, match="does not exist"):
        opened(options(root, source_list=str(tmp_path / "no.txt")), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no images"):
        opened(options(root, target_root=str(tmp_path / "empty")), "train")


def test_pictures_of_other_modes_are_read_as_rgb(root):
    Image.new("L", (30, 20), 128).save(root / "trainA" / "a07.png")
    Image.new("RGBA", (30, 20), (1, 2, 3, 4)).save(root / "trainA" / "a08.png")
    data = opened(options(root), "train")
    shapes = {batch["A"].shape for _, batches in data.epochs(1) for batch in batches}
    assert shapes == {(1, 3, 16, 16)}


def test_labels_are_cropped_with_their_picture(root):
    for i in range(NUMBER_A):
        ids = np.zeros((20, 30), np.uint8)
        ids[:, :15] = 1  # where red is 200
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(ids).save(root / "labels" / f"a{i:02d}.png")
    config = options(root, label_root=str(root / "labels"), load_size=20)
    data = opened(config, "train")
    for _, batches in data.epochs(3):
        for batch in batches:
            assert batch["label_A"].dtype == np.int32 and batch["label_A"].shape == (1, 1, 16, 16)
            np.testing.assert_array_equal(batch["label_A"][0, 0] == 1, batch["A"][0, 0] > 0)
    (root / "labels" / "a03.png").unlink()
    with pytest.raises(UserError, match="lacks the label maps of 1 of 7 images.*a03.png"):
        opened(config, "train")


def test_crops_that_do_not_fit_are_explained(root):
    with pytest.raises(
        UserError, match=r"a00.png .30x20. becomes 18x12 .* smaller than the crop of 16x16: pass .*--crop_height 12"
    ):
        opened(options(root, resize_or_crop="scale_width_and_crop"), "train")
    with pytest.raises(UserError, match="stride 4 must divide both sides: pass .*--crop_width 16 --crop_height 16"):
        opened(options(root, fine_size=15), "train")


def test_evaluation_takes_each_picture_once(root):
    for direction, names in (("both", ["a00", "a01", "a02", "b00"]), ("BtoA", ["b00"])):
        data = opened(options(root, direction=direction), "test")
        batches = first_epoch(data)
        assert [data.name(int(b["id"][0])) for b in batches] == names
        assert all(("A" in b) == data.name(int(b["id"][0])).startswith("a") for b in batches)
        assert all(("B" in b) != ("A" in b) for b in batches)
    assert batches[0]["B"].shape == (1, 3, 16, 24)  # short side 16, shape kept
    data = opened(options(root, eval_size="original"), "test")
    assert first_epoch(data)[0]["A"].shape == (1, 3, 20, 30)


def test_evaluation_pairs_contents_with_styles(root):
    data = opened(options(root, test_pairs=True), "test")
    names = [data.name(i) for i in range(data.num_samples)]
    assert names == ["a00_to_b00", "a01_to_b00", "a02_to_b00"]
    assert all({"A", "B"} <= set(batch) for batch in first_epoch(data))


def test_given_pictures_folders_and_videos(root, tmp_path):
    files = sorted((root / "testA").iterdir())
    video = write_video(tmp_path / "drive.mp4", files, 10.0)
    (tmp_path / "list.txt").write_text("\n".join(str(f) for f in files))
    for given, number in ((files[0], 1), (root / "testA", 3), (video, 3), (tmp_path / "list.txt", 3)):
        data = opened(options(root, input=str(given), direction="BtoA"), "test")
        batches = first_epoch(data)
        assert len(batches) == number and all("B" in batch for batch in batches)
        assert (data.video is not None) == (given == video)
    assert [data.name(i) for i in range(3)] == ["a00", "a01", "a02"]
    frames = Video(video)
    assert frames.rate == pytest.approx(10.0) and frames.frames[1].name == "drive_000002.png"


def test_bad_input_is_explained(root, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"this is no video")
    for given, message in ((broken, "cannot be decoded as a video"), (tmp_path / "none", "does not exist")):
        with pytest.raises(UserError, match=message):
            opened(options(root, input=str(given)), "test")


def names(config, phase="test"):
    data = opened(config, phase)
    return [data.name(i) for i in range(data.num_samples)]


def test_frames_with_dots_are_samples_of_their_own(root, tmp_path):
    for i in range(3):
        write(tmp_path / "frames" / f"shot.{i:04d}.png", (0, 10 * i, 0))
    config = options(root, input=str(tmp_path / "frames"), style=str(root / "testB" / "b00.png"))
    expected = [f"shot.{i:04d}" for i in range(3)]
    assert names(config) == expected
    assert names(config.replace(test_pairs=True)) == [f"{name}_to_b00" for name in expected]
    assert opened(config, "test").source == "frames"


def test_folders_with_dots_name_their_results(root, tmp_path):
    for name in ("seq.1", "seq.2"):
        write(tmp_path / name / "a.png", (0, 0, 0))
        assert opened(options(root, input=str(tmp_path / name)), "test").source == name
    assert opened(options(root, input=str(tmp_path / "seq.1" / "a.png")), "test").source == "a"


def test_equal_names_in_other_folders_and_of_other_types(root, tmp_path):
    for city in ("aachen", "bonn"):
        write(root / "testA" / city / "000.png", (0, 0, 0))
    assert names(options(root, direction="AtoB")) == ["a00", "a01", "a02", "aachen_000", "bonn_000"]
    pairs = names(options(root, test_pairs=True))
    assert pairs[3:] == ["aachen_000_to_b00", "bonn_000_to_b00"]
    for suffix in ("jpg", "png"):
        write(tmp_path / "types" / f"x.{suffix}", (0, 0, 0))
    assert names(options(root, input=str(tmp_path / "types"))) == ["x_jpg", "x_png"]


def test_names_of_both_domains_do_not_collide(root):
    write(root / "testB" / "a01.png", (0, 0, 0))
    assert names(options(root)) == ["a00", "a01_A", "a02", "a01_B", "b00"]
    assert names(options(root, direction="AtoB")) == ["a00", "a01", "a02"]


def test_a_listed_file_is_a_sample_as_often_as_it_is_listed(root, tmp_path):
    (tmp_path / "list.txt").write_text(f"{root}/testA/a00.png\n{root}/testA/a01.png\n{root}/testA/a00.png\n")
    assert names(options(root, input=str(tmp_path / "list.txt"))) == ["a00", "a01", "a00_2"]


def test_pairs_keep_the_suffix_of_cityscapes_and_long_names_are_cut(root):
    write(root / "testB" / "jena_000000_leftImg8bit.png", (0, 0, 0))
    config = options(root, test_pairs=True)
    assert names(config)[:2] == ["a00_to_b00", "a01_to_jena_000000_leftImg8bit"]
    (root / "testB" / "b00.png").rename(root / "testB" / f"{'n' * 250}.png")
    long = names(config)[1]
    assert long.startswith("a01_to_nnn") and len(long) < 120 and names(config)[1] == long


def test_names_that_are_not_utf8_are_trained_on_and_translated(root):
    for phase in ("train", "test"):
        os.rename(root / f"{phase}A" / "a01.png", os.fsencode(root / f"{phase}A") + b"/stra\xdfe.png")
    (root / "trainA.txt").write_bytes(b"trainA/a00.png\ntrainA/stra\xdfe.png\n")
    for config in (options(root), options(root, source_list=str(root / "trainA.txt"))):
        for random_pair in (True, False):
            config = config.replace(random_pair=random_pair)
            assert {a for epoch in first_epochs(config, 2) for a, _ in epoch} >= {0, 1}
    assert names(options(root, direction="AtoB")) == ["a00", "a02", "stra=DFe"]


def test_label_maps_in_folders_belong_to_the_images_in_these(root):
    for city, value in (("aachen", 1), ("bonn", 2)):
        write(root / "nestedA" / city / "000.png", (0, 0, 0))
        (root / "labels" / city).mkdir(parents=True)
        Image.fromarray(np.full((20, 30), value, np.uint8)).save(root / "labels" / city / "000.png")
    config = options(root, source_root=str(root / "nestedA"), label_root=str(root / "labels"))
    data = opened(config)
    assert [data.files(i)["label_A"].parent.name for i in range(2)] == ["aachen", "bonn"]
    assert [data.name(i) for i in range(2)] == ["aachen_000", "bonn_000"]


@pytest.mark.parametrize("mode", ["none", "squash", "scale_short_and_crop", "scale_width_and_crop", "center43"])
@pytest.mark.parametrize("eval_size", ["original", "training"])
def test_images_of_any_size_are_evaluated(root, tmp_path, mode, eval_size):
    sizes = [(1, 1), (1, 5), (200, 4), (3, 2)]
    for i, size in enumerate(sizes):
        write(tmp_path / "tiny" / f"{i}.png", (0, 0, 0), size)
    config = options(root, input=str(tmp_path / "tiny"), resize_or_crop=mode, eval_size=eval_size)
    shapes = [batch["A"].shape for batch in first_epoch(opened(config, "test"))]
    assert all(min(shape) >= 1 for shape in shapes)
    if "original" in (eval_size, mode) or mode == "none":
        assert [shape[:1:-1] for shape in shapes] == sizes


def test_evaluation_takes_windows_that_training_does_not(root):
    assert first_epoch(opened(options(root, crop_width=30, crop_height=18), "test"))


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({}, {"resize_or_crop": "scale_short_and_crop", "load_size": 18, "width": 16, "height": 16}),
        (
            {"resize_or_crop": "random_resized_crop"},
            {"resize_or_crop": "random_resized_crop", "width": 16, "height": 16, "scale_l": 0.8},
        ),
        ({"resize_or_crop": "none"}, {"resize_or_crop": "none"}),
    ],
)
def test_fingerprints_of_records_are_those_of_earlier_versions(changes, settings):
    rows = [Row("a", {"A": Path("/data/trainA/a.png")}), Row("b", {"A": Path("/data/trainA/straße.png")})]
    made = UnpairedReader(UnpairedRequest(stride=4), options("/data", **changes), "trainA", rows, True)
    assert made.settings == {"channels": 3, "rows": "d814a9c402cd", **settings}


def test_samples_are_those_of_earlier_versions(tmp_path):
    """The digest was computed by version 1."""
    write_dataset(tmp_path, 2)
    images, labels = (sorted((tmp_path / f"train_{kind}").iterdir()) for kind in ("img", "label"))
    rows = [Row(str(i), {"A": images[i], "label_A": labels[i], "B": images[1 - i]}) for i in range(2)]
    config = options(tmp_path, resize_or_crop="crop", crop_width=24, crop_height=12, v_flip=True)
    assert digest_of(UnpairedReader(UnpairedRequest(), config, "x", rows, True)) == "a85c1604a14660b4"
