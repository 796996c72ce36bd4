"""Unpaired data: lists and folders, independent orders, exact resume, crops, evaluation, and bad input."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.dataset import open_dataset
from src.dataset.crops import Cropper
from src.dataset.lists import read_list
from src.dataset.unpaired import UnpairedPipeline
from src.dataset.video import Video, write_video
from src.utils.errors import UserError

NUMBER_A, NUMBER_B = 7, 5


def options(root, **changes):
    values = {
        "data_root": str(root),
        "records_dir": "",
        "record_shards": 0,
        "source_root": "",
        "source_list": "",
        "target_root": "",
        "target_list": "",
        "label_root": "",
        "random_pair": True,
        "resize_or_crop": "scale_short_and_crop",
        "load_size": 18,
        "fine_size": 16,
        "width": 0,
        "height": 0,
        "scale_l": 0.8,
        "scale_h": 1.0,
        "no_flip": False,
        "v_flip": False,
        "serial_batches": False,
        "batch_size": 1,
        "num_workers": 2,
        "max_dataset_size": 0,
        "input_nc": 3,
        "seed": 0,
        "direction": "both",
        "eval_size": "training",
        "input": "",
        "style": "",
        "test_pairs": False,
        "n_residual_blocks": 1,
    }
    return SimpleNamespace(**(values | changes))


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
    data = open_dataset("unpaired", config, "train")
    return [
        [
            (green(batch["A"][i : i + 1]), green(batch["B"][i : i + 1]))
            for batch in batches
            for i in range(len(batch["A"]))
        ]
        for _, batches in data.epochs(total, first_step)
    ]


def test_both_sets_come_in_orders_of_their_own(root):
    data = open_dataset("unpaired", options(root), "train")
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
    data = open_dataset("unpaired", options(root, batch_size=2), "train")
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
        data = open_dataset("unpaired", config, "train")
        return [b for _, epoch in data.epochs(2, first) for b in epoch]

    whole, rest = batches(0), batches(first_step)
    assert len(rest) == len(whole) - first_step
    for got, want in zip(rest, whole[first_step:], strict=True):
        for column in ("A", "B", "id"):
            np.testing.assert_array_equal(got[column], want[column])


def test_workers_share_an_epoch(root):
    seen = []
    for rank in (0, 1):
        data = open_dataset("unpaired", options(root), "train", rank, 2)
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
    data = open_dataset("unpaired", config, "train")
    assert data.a.num_samples == 2
    assert {a for a, _ in first_epochs(config, 1)[0]} == {1, 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: write one picture a line"),
        ("trainA/a00.png\n\ntrainA/a01.png\n", "line 2 is empty"),
        ("trainA/a00.png\nreadme.md\n", r"line 2: 'readme.md' is no picture"),
        ("trainA/a00.png\ntrainA/a77.png\n", r"1 of 2 files .* not there: .*a77.png \(line 2\)"),
    ],
)
def test_bad_lists_are_explained(root, text, message):
    (root / "list.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        open_dataset("unpaired", options(root, source_list=str(root / "list.txt")), "train")


def test_unreadable_list_names_its_line(root):
    (root / "list.txt").write_bytes(b"trainA/a00.png\n\xff\xfe\n")
    with pytest.raises(UserError, match="line 2 is no text"):
        read_list(root / "list.txt", root)


def test_missing_places_are_explained(root, tmp_path):
    with pytest.raises(UserError, match="holds noneA and noneB"):
        open_dataset("unpaired", options(root), "none")
    with pytest.raises(UserError, match="does not exist"):
        open_dataset("unpaired", options(root, source_list=str(tmp_path / "no.txt")), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        open_dataset("unpaired", options(root, target_root=str(tmp_path / "empty")), "train")


def test_pictures_of_other_modes_are_read_as_rgb(root):
    Image.new("L", (30, 20), 128).save(root / "trainA" / "a07.png")
    Image.new("RGBA", (30, 20), (1, 2, 3, 4)).save(root / "trainA" / "a08.png")
    data = open_dataset("unpaired", options(root), "train")
    shapes = {batch["A"].shape for _, batches in data.epochs(1) for batch in batches}
    assert shapes == {(1, 3, 16, 16)}


def test_labels_are_cropped_with_their_picture(root):
    for i in range(NUMBER_A):
        ids = np.zeros((20, 30), np.uint8)
        ids[:, :15] = 1  # where red is 200
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(ids).save(root / "labels" / f"a{i:02d}.png")
    config = options(root, label_root=str(root / "labels"), load_size=20)
    data = open_dataset("unpaired", config, "train")
    for _, batches in data.epochs(3):
        for batch in batches:
            assert batch["label_A"].dtype == np.int32 and batch["label_A"].shape == (1, 1, 16, 16)
            np.testing.assert_array_equal(batch["label_A"][0, 0] == 1, batch["A"][0, 0] > 0)
    (root / "labels" / "a03.png").unlink()
    with pytest.raises(UserError, match="lacks the label maps of 1 of 7 pictures.*a03.png"):
        open_dataset("unpaired", config, "train")


def test_crops_that_do_not_fit_are_explained(root):
    with pytest.raises(UserError, match=r"becomes 18x12, smaller than the crop of 16x16"):
        open_dataset("unpaired", options(root, resize_or_crop="scale_width_and_crop"), "train")
    with pytest.raises(UserError, match="multiples of 4"):
        open_dataset("unpaired", options(root, fine_size=15), "train")


def test_random_resized_crop_varies_and_keeps_the_shape():
    """The published ratios (3/4 to 4/3) never fit pictures twice as wide as high; these do."""
    cropper = Cropper("random_resized_crop", 0, 32, 16, 0.8, 1.0)
    boxes = {cropper._random_box(200, 100, np.random.default_rng(i)) for i in range(50)}
    assert len(boxes) > 40
    for x, y, w, h in boxes:
        assert 0 <= x <= 200 - w and 0 <= y <= 100 - h
        assert 0.79 < w * h / 20000 <= 1.0 and 1.49 < w / h < 2.68


def test_centre_crop_of_the_published_training():
    cropper = Cropper("center43", 0, 32, 16)
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 34:167] = 255  # the central part of shape 4:3, 133 pixels wide
    stored = cropper.store({"A": picture}, "x.png")["A"]
    assert stored.shape == (16, 32, 3)
    assert stored.min() > 200


@pytest.mark.parametrize(
    ("mode", "size", "stored", "whole"),
    [
        ("scale_short_and_crop", (1914, 1052), (1042, 573), (932, 512)),
        ("scale_short_and_crop", (300, 500), (573, 955), (512, 853)),
        ("scale_width_and_crop", (2048, 1146), (573, 320), (573, 321)),
        ("resize_and_crop", (1914, 1052), (573, 573), (512, 512)),
        ("squash", (1914, 1052), (512, 512), (512, 512)),
        ("crop", (1914, 1052), (1914, 1052), (1914, 1052)),
    ],
)
def test_sizes_of_the_modes(mode, size, stored, whole):
    cropper = Cropper(mode, 573, 512, 512 if mode != "scale_width_and_crop" else 256)
    assert cropper.stored_size(*size) == stored
    assert cropper.whole({"A": np.zeros((size[1], size[0], 3), np.uint8)})["A"].shape[1::-1] == whole


def test_evaluation_takes_each_picture_once(root):
    for direction, names in (("both", ["a00", "a01", "a02", "b00"]), ("BtoA", ["b00"])):
        data = open_dataset("unpaired", options(root, direction=direction), "test")
        batches = first_epoch(data)
        assert [data.name(int(b["id"][0])) for b in batches] == names
        assert all(("A" in b) == data.name(int(b["id"][0])).startswith("a") for b in batches)
        assert all(("B" in b) != ("A" in b) for b in batches)
    assert batches[0]["B"].shape == (1, 3, 16, 24)  # short side 16, shape kept
    data = open_dataset("unpaired", options(root, eval_size="original"), "test")
    assert first_epoch(data)[0]["A"].shape == (1, 3, 20, 30)


def test_evaluation_pairs_contents_with_styles(root):
    data = open_dataset("unpaired", options(root, test_pairs=True), "test")
    names = [data.name(i) for i in range(data.num_samples)]
    assert names == ["a00_to_b00", "a01_to_b00", "a02_to_b00"]
    assert all({"A", "B"} <= set(batch) for batch in first_epoch(data))


def test_given_pictures_folders_and_videos(root, tmp_path):
    files = sorted((root / "testA").iterdir())
    video = write_video(tmp_path / "drive.mp4", files, 10.0)
    (tmp_path / "list.txt").write_text("\n".join(str(f) for f in files))
    for given, number in ((files[0], 1), (root / "testA", 3), (video, 3), (tmp_path / "list.txt", 3)):
        data = open_dataset("unpaired", options(root, input=str(given), direction="BtoA"), "test")
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
            open_dataset("unpaired", options(root, input=str(given)), "test")
